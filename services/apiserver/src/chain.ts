/**
 * The seams of the request chain, in upstream's order:
 * authenticate -> audit -> impersonate -> flow control -> authorise -> decode, strict check, default -> mutating admission (defaulted again)
 * -> prepare -> validate -> validating admission -> compare-and-set.
 */
import type { HttpRequest } from "@wherry/service-kit";
import type { KubeObject, UserInfo } from "@wherry/machinery";
import type { Draft, ResourceDefinition } from "@wherry/schema";

/** What a request is about, from method and path alone (k8s.io/apiserver RequestInfo). */
export interface RequestInfo {
  readonly isResourceRequest: boolean;
  readonly path: string;
  /** get, list, watch, create, update, patch, delete, deletecollection; the lower-case HTTP method for non-resource requests. */
  readonly verb: string;
  readonly apiGroup: string;
  readonly apiVersion: string;
  readonly namespace: string;
  readonly resource: string;
  readonly subresource: string;
  readonly name: string;
  readonly query: URLSearchParams;
}

export interface Authenticator {
  /** undefined = this one has no opinion; throws ApiError 401 for bad credentials. */
  authenticate(request: HttpRequest): Promise<UserInfo | undefined>;
}

export interface AuthorizationAttributes {
  readonly user: UserInfo;
  readonly verb: string;
  readonly isResourceRequest: boolean;
  readonly apiGroup: string;
  readonly apiVersion: string;
  readonly resource: string;
  readonly subresource: string;
  readonly namespace: string;
  readonly name: string;
  readonly path: string;
  /** What list, watch and deletecollection are narrowed to; absent = everything. */
  readonly fieldSelector?: string;
}

export type AuthorizationDecision = {
  readonly decision: "allow" | "noOpinion" | "deny";
  readonly reason: string;
};

export interface Authorizer {
  authorize(
    attributes: AuthorizationAttributes,
  ): AuthorizationDecision | Promise<AuthorizationDecision>;
}

export type AdmissionOperation = "CREATE" | "UPDATE" | "DELETE" | "CONNECT";

export interface AdmissionRequest {
  readonly operation: AdmissionOperation;
  readonly definition: ResourceDefinition;
  readonly subresource: string;
  readonly namespace: string;
  readonly name: string;
  readonly user: UserInfo;
  readonly dryRun: boolean;
  /** The private mutable draft; undefined for DELETE. */
  readonly draft: Draft | undefined;
  readonly old: KubeObject | undefined;
}

/** Plugins run in registration order: all `mutate`, then (after validation) all `validate`. They refuse by throwing ApiError. */
export interface AdmissionPlugin {
  readonly name: string;
  mutate?(request: AdmissionRequest): void | Promise<void>;
  validate?(request: AdmissionRequest): void | Promise<void>;
}

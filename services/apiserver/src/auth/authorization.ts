import { newForbidden, type ApiError, type UserInfo } from "@wherry/machinery";
import type {
  AuthorizationAttributes,
  AuthorizationDecision,
  Authorizer,
  RequestInfo,
} from "../chain.ts";
import type { ObjectStore } from "../object-store.ts";
import { componentGrants } from "./component-grants.ts";
import { createNodeAuthorizer } from "./node-authorizer.ts";
import { createNodeReferences } from "./node-references.ts";
import { createRbacAuthorizer, type BuiltInGrant, type Grant } from "./rbac-authorizer.ts";
import type { PolicyRule } from "./policy-rule.ts";
import { mastersGroup, nodeFromUser } from "./well-known-users.ts";

export interface Authorization extends Authorizer {
  authorize(attributes: AuthorizationAttributes): AuthorizationDecision;
  /** What a user may do in a namespace, as far as rules can say it (SelfSubjectRulesReview). */
  rulesOf(
    user: UserInfo,
    namespace: string,
  ): { readonly grants: readonly Grant[]; readonly incomplete: boolean; readonly error?: string };
  /** The rules of a ClusterRole (`namespace` "") or a Role, aggregated ones included; undefined when there is no such role. */
  roleRules(namespace: string, name: string): readonly PolicyRule[] | undefined;
  close(): void;
}

export interface AuthorizationOptions {
  readonly store: Pick<ObjectStore, "peek" | "peekAll" | "subscribe">;
  /** Bindings of the cluster's own identities beside upstream's; default `componentGrants`. */
  readonly builtIn?: readonly BuiltInGrant[];
}

/**
 * Who may do what: the union of masters, nodes and RBAC; refused when nobody allows it. Synchronous: everything is decided from what the cache shows.
 */
export function createAuthorization(options: AuthorizationOptions): Authorization {
  const references = createNodeReferences(options.store);
  const nodes = createNodeAuthorizer(options.store, references);
  const rbac = createRbacAuthorizer(options.store, options.builtIn ?? componentGrants);
  return {
    authorize(attributes) {
      if (attributes.user.groups.includes(mastersGroup)) return { decision: "allow", reason: "" };
      const node = nodes.authorize(attributes);
      if (node.decision === "allow") return node;
      const role = rbac.authorize(attributes);
      return role.decision === "allow"
        ? role
        : { decision: "noOpinion", reason: [node.reason, role.reason].filter(Boolean).join(", ") };
    },
    rulesOf(user, namespace) {
      const everything: Grant = {
        namespace: "",
        rules: [
          { verbs: ["*"], apiGroups: ["*"], resources: ["*"] },
          { verbs: ["*"], nonResourceURLs: ["*"] },
        ],
        reason: "",
      };
      const grants = [
        ...(user.groups.includes(mastersGroup) ? [everything] : []),
        ...rbac.grantsOf(user, namespace),
      ];
      if (nodeFromUser(user) === undefined) return { grants, incomplete: false };
      return {
        grants,
        incomplete: true,
        error: "node authorizer does not support user rule resolution",
      };
    },
    roleRules: (namespace, name) => rbac.roleRules(namespace, name),
    close() {
      references.close();
      rbac.close();
    },
  };
}

export function authorizationAttributes(
  user: UserInfo,
  info: RequestInfo,
): AuthorizationAttributes {
  const fieldSelector = info.query.get("fieldSelector");
  return {
    user,
    verb: info.verb,
    isResourceRequest: info.isResourceRequest,
    apiGroup: info.apiGroup,
    apiVersion: info.apiVersion,
    resource: info.resource,
    subresource: info.subresource,
    namespace: info.namespace,
    name: info.name,
    path: info.path,
    ...(fieldSelector === null ? {} : { fieldSelector }),
  };
}

/** The refusal in upstream's words; `reason` is what the authorizers said, if anything. */
export function forbidden(attributes: AuthorizationAttributes, reason: string): ApiError {
  const suffix = reason === "" ? "" : `: ${reason}`;
  return newForbidden(
    { group: attributes.apiGroup, resource: attributes.resource },
    attributes.name,
    `${refusalText(attributes)}${suffix}`,
  );
}

function refusalText({
  user,
  verb,
  isResourceRequest,
  path,
  apiGroup,
  resource,
  subresource,
  namespace,
}: AuthorizationAttributes): string {
  if (!isResourceRequest) return `User "${user.name}" cannot ${verb} path "${path}"`;
  const combined = subresource === "" ? resource : `${resource}/${subresource}`;
  const scope = namespace === "" ? "at the cluster scope" : `in the namespace "${namespace}"`;
  return `User "${user.name}" cannot ${verb} resource "${combined}" in API group "${apiGroup}" ${scope}`;
}

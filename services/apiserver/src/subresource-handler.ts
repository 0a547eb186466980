/**
 * How subresources, and resources that are not stored, plug into the REST layer.
 *
 * - An *object* handler works on API objects: the REST layer authorises, decodes (JSON, YAML), strict-checks, defaults, runs admission with the
 *   subresource's name, calls the handler, and encodes what it returns. It serves scale, binding, eviction, token, approval, finalize,
 *   and reviews (`subresource: ""` of a resource without `storagePrefix`).
 * - A *connect* handler takes over request and response (log, exec, attach, portforward, proxy): the REST layer authenticates,
 *   authorises and runs CONNECT admission first.
 *
 * `status` needs no handler: the REST layer serves it through `ResourceStrategy.prepareForStatusUpdate`.
 * Handlers refuse by throwing ApiError. They are looked up by (group, resource, subresource) over all versions.
 */
import type { KubeObject, Status, UserInfo } from "@wherry/machinery";
import type { Draft, ResourceDefinition } from "@wherry/schema";
import type { RequestInfo } from "./chain.ts";
import type { Exchange } from "./exchange.ts";

export interface SubresourceAddress {
  readonly group: string;
  readonly resource: string;
  /** "" = the (not stored) resource itself. */
  readonly subresource: string;
}

export interface SubresourceRequest {
  readonly definition: ResourceDefinition;
  readonly info: RequestInfo;
  readonly namespace: string;
  /** "" for a create on a collection (reviews). */
  readonly name: string;
  readonly user: UserInfo;
  readonly dryRun: boolean;
  readonly signal: AbortSignal;
  /** Adds a `Warning: 299` header to the answer. */
  warn(text: string): void;
}

export interface ObjectSubresource extends SubresourceAddress {
  readonly type: "object";
  /** GET. */
  get?(request: SubresourceRequest): Promise<KubeObject>;
  /** POST; answered with 201. The draft is private to the handler. */
  create?(request: SubresourceRequest, draft: Draft): Promise<KubeObject | Status>;
  /**
   * PUT, and PATCH on top of `get`: `build` makes the new object from the current one (for PUT it returns what was sent) and
   * may be called again after a lost race; admission runs inside it. A stale `metadata.resourceVersion` must end in 409 Conflict.
   */
  update?(
    request: SubresourceRequest,
    build: (current: KubeObject) => Promise<Draft>,
  ): Promise<KubeObject>;
}

export interface ConnectSubresource extends SubresourceAddress {
  readonly type: "connect";
  /** Upper-case HTTP methods served; others get 405. */
  readonly methods: readonly string[];
  /** True if `…/subresource/any/path` belongs to it (proxy); `path` is then the rest, beginning with "/" or empty. */
  readonly takesPath?: boolean;
  /**
   * Answers through `request.exchange` (`send`, `startStream`, or the socket of `upgrade`). Resolves when the answer is complete or the socket
   * has been handed over. What it throws before answering becomes a Status answer.
   */
  connect(request: ConnectRequest): Promise<void>;
}

export interface ConnectRequest extends SubresourceRequest {
  readonly exchange: Exchange;
  readonly path: string;
}

export type SubresourceHandler = ObjectSubresource | ConnectSubresource;

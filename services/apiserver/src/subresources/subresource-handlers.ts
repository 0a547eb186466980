import type { NodeDialer } from "@wherry/net";
import type { Clock } from "@wherry/service-kit";
import type { Authorization } from "../auth/authorization.ts";
import type { TokenAuthenticator } from "../auth/bearer-token-authenticator.ts";
import type { TokenIssuer } from "../auth/service-account-tokens.ts";
import type { ObjectStore } from "../object-store.ts";
import type { ResourceOperations } from "../resource-operations.ts";
import type { SubresourceHandler } from "../subresource-handler.ts";
import { createBindingHandlers } from "./binding.ts";
import { createCertificateApprovalHandler } from "./certificate-approval.ts";
import { createEvictionHandler } from "./eviction.ts";
import { createNamespaceFinalizeHandler } from "./namespace-finalize.ts";
import { createOpenConnections } from "./open-connections.ts";
import { createPodLogHandler } from "./pod-log.ts";
import { createPodSpecPartHandlers } from "./pod-spec-parts.ts";
import { createPodStreamHandlers } from "./pod-streams.ts";
import { createProxyHandlers } from "./proxy.ts";
import { createReviewHandlers } from "./reviews.ts";
import { createScaleHandlers } from "./scale.ts";
import { createTokenRequestHandler } from "./token-request.ts";

export interface SubresourceDependencies {
  readonly store: ObjectStore;
  readonly operations: ResourceOperations;
  readonly authorization: Authorization;
  readonly tokens: TokenAuthenticator;
  /** Absent = this server issues no service-account tokens. */
  readonly issuer?: TokenIssuer;
  readonly apiAudiences: readonly string[];
  readonly maxTokenSeconds?: number;
  readonly dialer: NodeDialer;
  readonly clock: Clock;
  readonly random: () => number;
  /** Aborted when streams to nodes have to end. */
  readonly shutdown?: AbortSignal;
}

/** Everything that is served below an object, and the reviews; `status` is served by the REST layer itself. */
export function createSubresourceHandlers(
  dependencies: SubresourceDependencies,
): readonly SubresourceHandler[] {
  const {
    store,
    operations,
    authorization,
    tokens,
    issuer,
    apiAudiences,
    maxTokenSeconds,
    dialer,
    clock,
    random,
  } = dependencies;
  const open = createOpenConnections(dependencies.shutdown);
  const token =
    issuer === undefined
      ? []
      : [
          createTokenRequestHandler({
            store,
            issuer,
            apiAudiences,
            extendExpiration: true,
            clock,
            ...(maxTokenSeconds === undefined ? {} : { maxExpirationSeconds: maxTokenSeconds }),
          }),
        ];
  return [
    ...createBindingHandlers(store, clock),
    createEvictionHandler({ store, operations, clock }),
    ...createScaleHandlers(operations),
    createNamespaceFinalizeHandler(store),
    ...createPodSpecPartHandlers(store),
    createCertificateApprovalHandler(store, clock),
    ...token,
    ...createReviewHandlers({ authorization, tokens, apiAudiences, clock }),
    createPodLogHandler(store, dialer, open),
    ...createPodStreamHandlers({ store, dialer, authorizer: authorization, open }),
    ...createProxyHandlers({ store, dialer, random, open }),
  ];
}

import type { KubeObject, UserInfo } from "@wherry/machinery";
import type { Clock } from "@wherry/service-kit";
import type { ObjectStore, ResourceId } from "../object-store.ts";
import type { TokenAuthenticator } from "./bearer-token-authenticator.ts";
import { resourceIds } from "./resource-ids.ts";
import {
  TokenRefused,
  type ObjectIdentity,
  type ServiceAccountClaims,
  type TokenIssuer,
} from "./service-account-tokens.ts";
import {
  credentialIdKey,
  serviceAccountGroups,
  serviceAccountUserName,
} from "./well-known-users.ts";

export interface ServiceAccountAuthenticatorOptions {
  readonly issuer: TokenIssuer;
  readonly store: Pick<ObjectStore, "get" | "peek">;
  readonly clock: Clock;
}

/** How long after its deletion time an object still vouches for tokens that are bound to it (upstream's clock leeway). */
const deletionLeewayMs = 60_000;

/** Tokens of service accounts. A token dies with its account and with the pod, secret or node that it is bound to. */
export function createServiceAccountAuthenticator(
  options: ServiceAccountAuthenticatorOptions,
): TokenAuthenticator {
  return {
    async authenticateToken(token, wanted) {
      const claims = options.issuer.verify(token);
      if (claims === undefined) return undefined;
      const audiences = wanted.filter((audience) => claims.aud.includes(audience));
      if (audiences.length === 0)
        throw new TokenRefused(
          `token audiences ${JSON.stringify(claims.aud)} is invalid for the target audiences ${JSON.stringify(wanted)}`,
        );
      await assertAlive(claims, options.store, options.clock.now());
      return { user: userOf(claims), audiences };
    },
  };
}

async function assertAlive(
  claims: ServiceAccountClaims,
  store: Pick<ObjectStore, "get" | "peek">,
  now: number,
): Promise<void> {
  const { namespace, serviceaccount, pod, secret, node } = claims["kubernetes.io"];
  const bound: readonly (readonly [ResourceId, string, ObjectIdentity | undefined, string])[] = [
    [resourceIds.serviceAccounts, namespace, serviceaccount, "service account"],
    [resourceIds.secrets, namespace, secret, "secret"],
    [resourceIds.pods, namespace, pod, "pod"],
    // A token bound to a pod names the pod's node for information only: the node may go before its pods do.
    [resourceIds.nodes, "", pod === undefined ? node : undefined, "node"],
  ];
  for (const [resource, scope, identity, what] of bound) {
    if (identity === undefined) continue;
    const object = await findLive(store, resource, scope, identity);
    if (object === undefined)
      throw new TokenRefused(`${what} ${identity.name} of the token has been deleted`);
    if (object.metadata.uid !== identity.uid)
      throw new TokenRefused(
        `${what} UID (${object.metadata.uid}) does not match claim (${identity.uid})`,
      );
    const deleted = object.metadata.deletionTimestamp;
    if (deleted !== undefined && Date.parse(deleted) < now - deletionLeewayMs)
      throw new TokenRefused(`${what} ${identity.name} of the token has been deleted`);
  }
}

/** The cache answers unless it lacks the object or has another one: it may be a moment behind a token that was just issued. */
async function findLive(
  store: Pick<ObjectStore, "get" | "peek">,
  resource: ResourceId,
  namespace: string,
  identity: ObjectIdentity,
): Promise<KubeObject | undefined> {
  const cached = store.peek(resource, namespace, identity.name);
  if (cached?.metadata.uid === identity.uid) return cached;
  return store.get(resource, namespace, identity.name).catch((error: unknown) => {
    if (error instanceof Error && "reason" in error && error.reason === "NotFound")
      return undefined;
    throw error;
  });
}

function userOf(claims: ServiceAccountClaims): UserInfo {
  const { namespace, serviceaccount, pod, node } = claims["kubernetes.io"];
  const extra: Record<string, readonly string[]> = {};
  if (claims.jti !== "") extra[credentialIdKey] = [`JTI=${claims.jti}`];
  if (pod !== undefined) {
    extra["authentication.kubernetes.io/pod-name"] = [pod.name];
    extra["authentication.kubernetes.io/pod-uid"] = [pod.uid];
  }
  if (node !== undefined) {
    extra["authentication.kubernetes.io/node-name"] = [node.name];
    extra["authentication.kubernetes.io/node-uid"] = [node.uid];
  }
  return {
    name: serviceAccountUserName({ namespace, name: serviceaccount.name }),
    uid: serviceaccount.uid,
    groups: serviceAccountGroups(namespace),
    extra,
  };
}

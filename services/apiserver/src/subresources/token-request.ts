import {
  fieldInvalid,
  formatTime,
  isNotFound,
  newBadRequest,
  newConflict,
  newInvalid,
  newNotFound,
  type KubeObject,
} from "@wherry/machinery";
import type { Clock } from "@wherry/service-kit";
import { resourceIds } from "../auth/resource-ids.ts";
import type {
  ObjectIdentity,
  ServiceAccountClaim,
  TokenIssuer,
} from "../auth/service-account-tokens.ts";
import type { ObjectStore, ResourceId } from "../object-store.ts";
import type { ObjectSubresource, SubresourceRequest } from "../subresource-handler.ts";

interface TokenRequestSpec {
  readonly audiences?: readonly string[] | null;
  readonly expirationSeconds?: number | null;
  readonly boundObjectRef?: BoundObjectRef | null;
}

interface BoundObjectRef {
  readonly kind?: string;
  readonly apiVersion?: string;
  readonly name?: string;
  readonly uid?: string;
}

interface Pod extends KubeObject {
  readonly spec?: { readonly nodeName?: string; readonly serviceAccountName?: string };
}

export interface TokenRequestDependencies {
  readonly store: Pick<ObjectStore, "get" | "peek">;
  readonly issuer: TokenIssuer;
  /** Audiences of a token for which none were asked. */
  readonly apiAudiences: readonly string[];
  /** Longest life of a token; longer wishes are cut down to it. */
  readonly maxExpirationSeconds?: number;
  /** Pods' default tokens live for a year, so that programs that read them once keep working. */
  readonly extendExpiration: boolean;
  readonly clock: Clock;
}

const defaultSeconds = 3600;
const secondsMin = 600;
const secondsMax = 2 ** 32;
/** The odd figure that ServiceAccount admission writes into pods' default tokens. */
const podDefaultSeconds = 3607;
const yearSeconds = 365 * 24 * 3600;

/** serviceaccounts/<name>/token: a signed token, bound on wish to a pod, secret or node that it dies with. */
export function createTokenRequestHandler(
  dependencies: TokenRequestDependencies,
): ObjectSubresource {
  return {
    type: "object",
    group: "",
    resource: "serviceaccounts",
    subresource: "token",
    async create(request, draft) {
      const metadata = draft.metadata as { readonly name?: string; readonly namespace?: string };
      if (metadata.name && metadata.name !== request.name)
        throw newBadRequest(
          `the name of the object (${metadata.name}) does not match the name on the URL (${request.name})`,
        );
      const spec = (draft["spec"] ?? {}) as TokenRequestSpec;
      const requested = spec.expirationSeconds ?? defaultSeconds;
      assertSeconds(requested);
      const account = await dependencies.store.get(
        resourceIds.serviceAccounts,
        request.namespace,
        request.name,
        { signal: request.signal },
      );
      const audiences =
        (spec.audiences ?? []).length > 0 ? (spec.audiences ?? []) : dependencies.apiAudiences;
      const expirationSeconds = Math.min(
        requested,
        dependencies.maxExpirationSeconds ?? secondsMax,
      );
      const claim = await claimOf(dependencies, request, account, spec.boundObjectRef ?? undefined);
      return tokenRequestOf(dependencies, account, claim, {
        ...spec,
        audiences,
        expirationSeconds,
      });
    },
  };
}

function tokenRequestOf(
  dependencies: TokenRequestDependencies,
  account: KubeObject,
  claim: ServiceAccountClaim,
  spec: TokenRequestSpec,
): KubeObject {
  const { clock, issuer, apiAudiences } = dependencies;
  const audiences = spec.audiences ?? [];
  const requested = spec.expirationSeconds ?? defaultSeconds;
  const forUs = audiences.every((audience) => apiAudiences.includes(audience));
  const extended = dependencies.extendExpiration && requested === podDefaultSeconds && forUs;
  const token = issuer.issue({
    account: extended ? { ...claim, warnafter: Math.floor(clock.now() / 1000) + requested } : claim,
    audiences,
    expirationSeconds: extended ? yearSeconds : requested,
  });
  const { name, namespace, uid } = account.metadata;
  const answer = {
    kind: "TokenRequest",
    apiVersion: "authentication.k8s.io/v1",
    metadata: { name, namespace, uid, creationTimestamp: formatTime(clock.now()) },
    spec: { audiences, expirationSeconds: requested, boundObjectRef: spec.boundObjectRef ?? null },
    status: { token, expirationTimestamp: formatTime(clock.now() + requested * 1000) },
  };
  return answer as unknown as KubeObject;
}

function assertSeconds(seconds: number): void {
  const detail =
    seconds < secondsMin
      ? "may not specify a duration less than 10 minutes"
      : seconds > secondsMax
        ? "may not specify a duration larger than 2^32 seconds"
        : undefined;
  if (detail === undefined) return;
  throw newInvalid({ group: "authentication.k8s.io", kind: "TokenRequest" }, "", [
    fieldInvalid("spec.expirationSeconds", seconds, detail),
  ]);
}

async function claimOf(
  { store }: TokenRequestDependencies,
  request: SubresourceRequest,
  account: KubeObject,
  ref: BoundObjectRef | undefined,
): Promise<ServiceAccountClaim> {
  const base: ServiceAccountClaim = {
    namespace: request.namespace,
    serviceaccount: identityOf(account),
  };
  if (ref === undefined) return base;
  const { kind, apiVersion, name = "" } = ref;
  if (apiVersion !== undefined && apiVersion !== "" && apiVersion !== "v1") throw unsupported(ref);
  switch (kind ?? "") {
    case "Pod": {
      const pod = await boundObject<Pod>(store, resourceIds.pods, request.namespace, ref);
      if (pod.spec?.serviceAccountName !== account.metadata.name) {
        throw newBadRequest(
          `cannot bind token for serviceaccount ${JSON.stringify(account.metadata.name)} to pod running with different serviceaccount name.`,
        );
      }
      const node = pod.spec?.nodeName ? await nodeIdentity(store, pod.spec.nodeName) : undefined;
      return { ...base, pod: identityOf(pod), ...(node === undefined ? {} : { node }) };
    }
    case "Secret":
      return {
        ...base,
        secret: identityOf(await boundObject(store, resourceIds.secrets, request.namespace, ref)),
      };
    case "Node":
      return { ...base, node: identityOf(await boundObject(store, resourceIds.nodes, "", ref)) };
    default:
      throw name === "" ? newBadRequest("boundObjectRef needs kind and name") : unsupported(ref);
  }
}

async function boundObject<T extends KubeObject>(
  store: Pick<ObjectStore, "get">,
  resource: ResourceId,
  namespace: string,
  ref: BoundObjectRef,
): Promise<T> {
  const name = ref.name ?? "";
  if (name === "") throw newNotFound(resource, name);
  const object = await store.get<T>(resource, namespace, name);
  if (ref.uid && ref.uid !== object.metadata.uid) {
    throw newConflict(
      resource,
      name,
      `the UID in the bound object reference (${ref.uid}) does not match the UID in record. The object might have been deleted and then recreated`,
    );
  }
  return object;
}

/** A pod's node is told for information; one that does not exist is left out. */
async function nodeIdentity(
  store: Pick<ObjectStore, "get">,
  name: string,
): Promise<ObjectIdentity> {
  try {
    return identityOf(await store.get(resourceIds.nodes, "", name));
  } catch (error) {
    if (isNotFound(error)) return { name, uid: "" };
    throw error;
  }
}

function identityOf(object: KubeObject): ObjectIdentity {
  return { name: object.metadata.name ?? "", uid: object.metadata.uid ?? "" };
}

function unsupported({ apiVersion = "", kind = "" }: BoundObjectRef): Error {
  return newBadRequest(`cannot bind token to object of type ${apiVersion}, Kind=${kind}`);
}

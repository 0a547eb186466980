import { resources } from "@wherry/client";
import type { ApiClient } from "@wherry/client";
import type { KubeObject, Pod } from "@wherry/machinery";
import { parseTime } from "@wherry/machinery";
import type { Clock } from "@wherry/service-kit";
import { podSpec, podUid } from "../pods/pod-types.ts";
import type { TokenSource } from "./payload.ts";
import { VolumeError } from "./volume-error.ts";

/** Tokens of pods' service accounts, bound to their pods, kept until 80 % of their life (or 24 hours) is over. */
export interface ServiceAccountTokens {
  get(pod: Pod, source: TokenSource): Promise<string>;
  /** When the first of a pod's tokens must be made anew; undefined: it has none. */
  refreshAtMs(uid: string): number | undefined;
  release(uid: string): void;
}

interface Held {
  readonly token: string;
  readonly refreshAtMs: number;
  readonly expiresAtMs: number;
}

interface TokenRequest extends KubeObject {
  readonly spec: {
    readonly audiences?: readonly string[];
    readonly expirationSeconds: number;
    readonly boundObjectRef: {
      readonly kind: "Pod";
      readonly apiVersion: "v1";
      readonly name: string;
      readonly uid: string;
    };
  };
  readonly status?: { readonly token?: string; readonly expirationTimestamp?: string };
}

const dayMs = 86_400_000;
const defaultSeconds = 3_600;

export function createServiceAccountTokens(api: ApiClient, clock: Clock): ServiceAccountTokens {
  const held = new Map<string, Map<string, Held>>();

  const request = async (pod: Pod, source: TokenSource): Promise<Held> => {
    const account = podSpec(pod).serviceAccountName ?? "default";
    const body: TokenRequest = {
      apiVersion: "authentication.k8s.io/v1",
      kind: "TokenRequest",
      metadata: {},
      spec: {
        ...(source.audience === undefined || source.audience === ""
          ? {}
          : { audiences: [source.audience] }),
        expirationSeconds: source.expirationSeconds ?? defaultSeconds,
        boundObjectRef: {
          kind: "Pod",
          apiVersion: "v1",
          name: pod.metadata.name ?? "",
          uid: podUid(pod),
        },
      },
    };
    const askedMs = clock.now();
    const answer = await api.createSubresource<TokenRequest>(
      resources.serviceAccounts,
      account,
      pod.metadata.namespace,
      "token",
      body,
    );
    const { token, expirationTimestamp } = answer.status ?? {};
    if (token === undefined || expirationTimestamp === undefined)
      throw new VolumeError(
        "missing",
        `the API server gave no token for service account "${account}"`,
      );
    const expiresAtMs = parseTime(expirationTimestamp);
    // Older than 80 % of its life is the kubelet's mark; the request's own length counts, because the server may stretch the expiry.
    const lifeMs = Math.min(expiresAtMs - askedMs, body.spec.expirationSeconds * 1_000);
    return { token, expiresAtMs, refreshAtMs: askedMs + Math.min(lifeMs * 0.8, dayMs) };
  };

  return {
    async get(pod, source) {
      const uid = podUid(pod);
      const key = `${source.audience ?? ""}/${source.expirationSeconds ?? defaultSeconds}`;
      const own = held.get(uid) ?? new Map<string, Held>();
      held.set(uid, own);
      const present = own.get(key);
      if (present !== undefined && clock.now() < present.refreshAtMs) return present.token;
      try {
        const fresh = await request(pod, source);
        own.set(key, fresh);
        return fresh.token;
      } catch (error) {
        // An old token that is still valid serves on while the API server is away.
        if (present !== undefined && clock.now() < present.expiresAtMs) return present.token;
        throw error;
      }
    },
    refreshAtMs(uid) {
      const times = [...(held.get(uid)?.values() ?? [])].map((one) => one.refreshAtMs);
      return times.length === 0 ? undefined : Math.min(...times);
    },
    release(uid) {
      held.delete(uid);
    },
  };
}

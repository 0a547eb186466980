import { resources } from "@wherry/client";
import type { ApiClient, ResourceRef } from "@wherry/client";
import type { ConfigMap, KubeObject, Pod, Secret } from "@wherry/machinery";
import { isApiError } from "@wherry/machinery";
import type { Clock, Logger, Timer } from "@wherry/service-kit";
import { allContainers, podSpec, podUid } from "../pods/pod-types.ts";

export interface Reference {
  readonly kind: "ConfigMap" | "Secret";
  readonly name: string;
}

/**
 * The configMaps and secrets that this node's pods name, each kept up to date by a watch of its own (a node may not list others). An object
 * that no pod of the node names any more is forgotten. Beyond `watchesMax` objects are fetched when asked for, and the pods that name them are told
 * to ask again every 75 s.
 */
export interface ReferenceCache {
  configMap(namespace: string, name: string): Promise<ConfigMap | undefined>;
  secret(namespace: string, name: string): Promise<Secret | undefined>;
  /** Declares what a pod needs, in place of what it needed before. */
  retain(pod: Pod): void;
  release(uid: string): void;
  stop(): void;
}

export interface ReferenceCacheDeps {
  readonly api: ApiClient;
  readonly clock: Clock;
  readonly log: Logger;
  /** Called after an object changed, with the uids of the pods that name it. */
  readonly onChange: (uids: readonly string[]) => void;
}

/** Each watch may hold a connection to the API server. */
const watchesMax = 200;
const unfollowedRefreshMs = 75_000;
const retryMs = 5_000;

interface Entry {
  readonly users: Set<string>;
  readonly stop: AbortController;
  /** Resolves with the first answer of the API server, or the failure to get one. */
  readonly first: Promise<unknown>;
  value: KubeObject | undefined;
  known: boolean;
}

export function createReferenceCache(deps: ReferenceCacheDeps): ReferenceCache {
  const { api, clock, log } = deps;
  const entries = new Map<string, Entry>();
  const byPod = new Map<string, Set<string>>();
  const unfollowed = new Set<string>();
  let refreshTimer: Timer | undefined;

  const armRefresh = (): void => {
    if (unfollowed.size === 0) return;
    refreshTimer ??= clock.setTimer(unfollowedRefreshMs, () => {
      refreshTimer = undefined;
      deps.onChange([...unfollowed]);
      armRefresh();
    });
  };

  const open = (kind: Reference["kind"], namespace: string, name: string): Entry => {
    const stop = new AbortController();
    const first = Promise.withResolvers<void>();
    first.promise.catch(() => {}); // Whoever asks for the object sees the failure.
    const entry: Entry = {
      users: new Set(),
      stop,
      first: first.promise,
      value: undefined,
      known: false,
    };
    const set = (value: KubeObject | undefined): void => {
      const changed =
        entry.known && value?.metadata.resourceVersion !== entry.value?.metadata.resourceVersion;
      entry.value = value;
      entry.known = true;
      if (changed) deps.onChange([...entry.users]);
    };
    void follow(
      kind === "ConfigMap" ? resources.configMaps : resources.secrets,
      namespace,
      name,
      stop.signal,
      set,
      first,
    );
    return entry;
  };

  const follow = async (
    ref: ResourceRef,
    namespace: string,
    name: string,
    signal: AbortSignal,
    set: (value: KubeObject | undefined) => void,
    first: PromiseWithResolvers<void>,
  ): Promise<void> => {
    const fieldSelector = `metadata.name=${name}`;
    while (!signal.aborted) {
      try {
        const list = await api.list<KubeObject>(ref, { namespace, fieldSelector, signal });
        set(list.items[0]);
        first.resolve();
        const resourceVersion = list.metadata.resourceVersion;
        const events = api.watch<KubeObject>(ref, {
          namespace,
          fieldSelector,
          signal,
          allowWatchBookmarks: true,
          ...(resourceVersion === undefined ? {} : { resourceVersion }),
        });
        for await (const event of events) {
          if (event.type === "ADDED" || event.type === "MODIFIED") set(event.object);
          else if (event.type === "DELETED") set(undefined);
        }
      } catch (error) {
        if (signal.aborted) break;
        first.reject(error);
        if (!isApiError(error, "Expired") && !isApiError(error, "Gone"))
          log.debug(
            { err: error, namespace, name, kind: ref.kind },
            "following an object failed, trying again",
          );
        await clock.sleep(retryMs, signal).catch(() => {});
      }
    }
    first.reject(new Error(`${ref.kind} ${namespace}/${name} is not followed any more`));
  };

  const get = async <T extends KubeObject>(
    kind: Reference["kind"],
    namespace: string,
    name: string,
  ): Promise<T | undefined> => {
    const entry = entries.get(keyOf(kind, namespace, name));
    if (entry !== undefined) {
      if (!entry.known) await entry.first;
      return entry.value as T | undefined;
    }
    try {
      return await api.get<T>(
        kind === "ConfigMap" ? resources.configMaps : resources.secrets,
        name,
        namespace,
      );
    } catch (error) {
      if (isApiError(error, "NotFound")) return undefined;
      throw error;
    }
  };

  const drop = (key: string, uid: string): void => {
    const entry = entries.get(key);
    if (entry === undefined) return;
    entry.users.delete(uid);
    if (entry.users.size > 0) return;
    entry.stop.abort(new Error("no pod names this object any more"));
    entries.delete(key);
  };

  return {
    configMap: (namespace, name) => get<ConfigMap>("ConfigMap", namespace, name),
    secret: (namespace, name) => get<Secret>("Secret", namespace, name),
    retain(pod) {
      const uid = podUid(pod);
      const namespace = pod.metadata.namespace ?? "";
      const wanted = new Map(
        referencesOf(pod).map((one) => [keyOf(one.kind, namespace, one.name), one]),
      );
      const before = byPod.get(uid) ?? new Set<string>();
      for (const key of before) if (!wanted.has(key)) drop(key, uid);
      const kept = new Set<string>();
      unfollowed.delete(uid);
      for (const [key, reference] of wanted) {
        let entry = entries.get(key);
        if (entry === undefined) {
          if (entries.size >= watchesMax) {
            unfollowed.add(uid);
            continue;
          }
          entry = open(reference.kind, namespace, reference.name);
          entries.set(key, entry);
        }
        entry.users.add(uid);
        kept.add(key);
      }
      byPod.set(uid, kept);
      armRefresh();
    },
    release(uid) {
      for (const key of byPod.get(uid) ?? []) drop(key, uid);
      byPod.delete(uid);
      unfollowed.delete(uid);
    },
    stop() {
      for (const entry of entries.values()) entry.stop.abort(new Error("the node agent stops"));
      refreshTimer?.cancel();
      unfollowed.clear();
      entries.clear();
      byPod.clear();
    },
  };
}

function keyOf(kind: string, namespace: string, name: string): string {
  return `${kind}/${namespace}/${name}`;
}

/** Every configMap and secret that a pod names: environment, volumes and pull secrets. */
export function referencesOf(pod: Pod): readonly Reference[] {
  const found = new Map<string, Reference>();
  const add = (kind: Reference["kind"], name: string | undefined): void => {
    if (name !== undefined && name !== "") found.set(`${kind}/${name}`, { kind, name });
  };
  for (const { spec } of allContainers(pod)) {
    for (const from of spec.envFrom ?? []) {
      add("ConfigMap", from.configMapRef?.name);
      add("Secret", from.secretRef?.name);
    }
    for (const variable of spec.env ?? []) {
      add("ConfigMap", variable.valueFrom?.configMapKeyRef?.name);
      add("Secret", variable.valueFrom?.secretKeyRef?.name);
    }
  }
  for (const volume of podSpec(pod).volumes ?? []) {
    add("ConfigMap", volume.configMap?.name);
    add("Secret", volume.secret?.secretName);
    for (const source of volume.projected?.sources ?? []) {
      add("ConfigMap", source.configMap?.name);
      add("Secret", source.secret?.name);
    }
  }
  for (const reference of podSpec(pod).imagePullSecrets ?? []) add("Secret", reference.name);
  return [...found.values()];
}

import { newAlreadyExists, newConflict, newNotFound, type KubeObject } from "@wherry/machinery";
import type { Draft } from "@wherry/schema";
import type {
  ObjectChange,
  ObjectStore,
  Preconditions,
  ResourceId,
  UpdateOptions,
} from "../object-store.ts";

/** An `ObjectStore` over a map, for unit tests of what stands on it. Changes are delivered at once; lost races are provoked by `beforeWrite`. */
export interface ObjectStoreFake extends ObjectStore {
  /** Puts an object there without any rule. */
  put(resource: ResourceId, object: KubeObject): KubeObject;
  /** Called once before the next compare-and-set. */
  beforeWrite: (() => void) | undefined;
}

type Handler = (change: ObjectChange) => void;

export function createObjectStoreFake(): ObjectStoreFake {
  const objects = new Map<string, KubeObject>();
  const handlers = new Map<string, Set<Handler>>();
  let revision = 0;

  const kindOf = ({ group, resource }: ResourceId): string => `${resource}.${group}`;
  const keyOf = (resource: ResourceId, namespace: string, name: string): string =>
    `${kindOf(resource)}/${namespace}/${name}`;
  const emit = (resource: ResourceId, change: ObjectChange): void => {
    for (const handler of handlers.get(kindOf(resource)) ?? []) handler(change);
  };
  const write = (resource: ResourceId, object: KubeObject): KubeObject => {
    revision += 1;
    const key = keyOf(resource, object.metadata.namespace ?? "", object.metadata.name ?? "");
    const previous = objects.get(key);
    const stored: KubeObject = structuredClone({
      ...object,
      metadata: { uid: `uid-${revision}`, ...object.metadata, resourceVersion: String(revision) },
    });
    objects.set(key, stored);
    emit(
      resource,
      previous === undefined
        ? { type: "added", object: stored, revision }
        : { type: "modified", object: stored, previous, revision },
    );
    return stored;
  };
  const find = (resource: ResourceId, namespace: string, name: string): KubeObject => {
    const found = objects.get(keyOf(resource, namespace, name));
    if (found === undefined) throw newNotFound(resource, name);
    return found;
  };
  const all = (resource: ResourceId, namespace?: string): readonly KubeObject[] =>
    [...objects]
      .filter(
        ([key, { metadata }]) =>
          key.startsWith(`${kindOf(resource)}/`) &&
          (namespace === undefined || metadata.namespace === namespace),
      )
      .map(([, object]) => object);
  const check = (
    resource: ResourceId,
    { metadata }: KubeObject,
    preconditions: Preconditions | undefined,
  ): void => {
    const { uid, resourceVersion } = preconditions ?? {};
    if (
      (uid !== undefined && uid !== metadata.uid) ||
      (resourceVersion !== undefined && resourceVersion !== metadata.resourceVersion)
    ) {
      throw newConflict(resource, metadata.name ?? "");
    }
  };

  const fake: ObjectStoreFake = {
    beforeWrite: undefined,
    put: write,
    get: async <T extends KubeObject>(resource: ResourceId, namespace: string, name: string) =>
      find(resource, namespace, name) as T,
    list: async <T extends KubeObject>(resource: ResourceId, namespace?: string) =>
      all(resource, namespace) as readonly T[],
    peek: ((resource, namespace, name) =>
      objects.get(keyOf(resource, namespace, name))) as ObjectStore["peek"],
    peekAll: ((resource, namespace) => all(resource, namespace)) as ObjectStore["peekAll"],
    subscribe: <T extends KubeObject>(
      resource: ResourceId,
      handler: (change: ObjectChange<T>) => void,
    ) => {
      const typed = handler as Handler;
      for (const object of all(resource)) typed({ type: "added", object, revision });
      const known = handlers.get(kindOf(resource)) ?? new Set();
      handlers.set(kindOf(resource), known.add(typed));
      return () => void known.delete(typed);
    },
    create: async <T extends KubeObject>(resource: ResourceId, object: KubeObject) => {
      const { namespace = "", name = "" } = object.metadata;
      if (objects.has(keyOf(resource, namespace, name))) throw newAlreadyExists(resource, name);
      return write(resource, object) as T;
    },
    guaranteedUpdate: async <T extends KubeObject>(
      resource: ResourceId,
      namespace: string,
      name: string,
      change: (draft: Draft, current: T) => Draft | undefined | Promise<Draft | undefined>,
      options?: UpdateOptions,
    ) => {
      for (;;) {
        const current = find(resource, namespace, name);
        check(resource, current, options?.preconditions);
        const next = await change(structuredClone(current) as unknown as Draft, current as T);
        const before = fake.beforeWrite;
        fake.beforeWrite = undefined;
        before?.();
        if (find(resource, namespace, name) !== current) continue;
        if (next === undefined || JSON.stringify(next) === JSON.stringify(current))
          return current as T;
        return (options?.dryRun === true ? next : write(resource, next)) as T;
      }
    },
    delete: async <T extends KubeObject>(
      resource: ResourceId,
      namespace: string,
      name: string,
      options?: { readonly preconditions?: Preconditions; readonly dryRun?: boolean },
    ) => {
      const object = find(resource, namespace, name);
      check(resource, object, options?.preconditions);
      if (options?.dryRun === true) return object as T;
      revision += 1;
      objects.delete(keyOf(resource, namespace, name));
      emit(resource, { type: "deleted", object, revision });
      return object as T;
    },
  };
  return fake;
}

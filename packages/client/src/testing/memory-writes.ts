import {
  fieldRequired,
  formatGroupVersion,
  formatTime,
  generateName,
  jsonEqual,
  newAlreadyExists,
  newBadRequest,
  newConflict,
  newInvalid,
  newNotFound,
  type Json,
  type JsonObject,
  type KubeObject,
  type ObjectMeta,
  type Pod,
} from "@wherry/machinery";
import type { Clock } from "@wherry/service-kit";
import type { ResourceRef } from "../api-client.ts";
import { hasGeneration, hasStatus } from "./memory-resources.ts";
import type { MemoryStore } from "./memory-store.ts";

/** The rules of writing that controllers rely on. `dryRun` checks everything and stores nothing. */
export interface MemoryWrites {
  create(
    ref: ResourceRef,
    namespace: string | undefined,
    object: KubeObject,
    dryRun: boolean,
  ): KubeObject;
  update(ref: ResourceRef, object: KubeObject, part: UpdatePart, dryRun: boolean): KubeObject;
  /** Returns the object when it stays (finalizers, grace), undefined when it is gone. */
  delete(
    ref: ResourceRef,
    object: KubeObject,
    options: MemoryDeleteOptions,
  ): KubeObject | undefined;
}

/** `all` is the object without its status (where status is a subresource); `finalize` takes spec.finalizers only. */
export type UpdatePart = "all" | "status" | "finalize";

export interface MemoryDeleteOptions {
  readonly gracePeriodSeconds?: number;
  readonly propagationPolicy?: string;
  readonly preconditions?: { readonly uid?: string; readonly resourceVersion?: string };
  readonly dryRun?: readonly string[];
}

type Loose = KubeObject & JsonObject;

export interface MemoryWritesDeps {
  readonly store: MemoryStore;
  readonly clock: Clock;
  readonly random: () => number;
}

export function createMemoryWrites({ store, clock, random }: MemoryWritesDeps): MemoryWrites {
  let uids = 0;
  const nextUid = (): string => {
    uids += 1;
    return `00000000-0000-4000-8000-${String(uids).padStart(12, "0")}`;
  };

  const finish = (ref: ResourceRef, old: KubeObject, next: Loose, dryRun: boolean): KubeObject => {
    if (isFinished(ref, next)) {
      if (dryRun) return next;
      return store.remove(ref, next);
    }
    if (jsonEqual(next, old as Loose)) return old;
    return dryRun ? next : store.put(ref, next);
  };

  return {
    create(ref, namespace, input, dryRun) {
      const object = input as Loose;
      const metadata = metadataForCreate(ref, namespace, object);
      const name = metadata.name ?? generateName(metadata.generateName ?? "", random);
      if (store.get(ref, metadata.namespace, name) !== undefined) throw newAlreadyExists(ref, name);
      const created: Loose = {
        ...object,
        apiVersion: formatGroupVersion(ref),
        kind: ref.kind,
        metadata: {
          ...metadata,
          name,
          uid: nextUid(),
          creationTimestamp: formatTime(clock.now()),
          ...(hasGeneration(ref) ? { generation: 1 } : {}),
        },
      } as Loose;
      const initial = withInitialStatus(ref, created);
      return dryRun ? initial : store.put(ref, initial);
    },

    update(ref, input, part, dryRun) {
      const object = input as Loose;
      const name = object.metadata.name ?? "";
      const old = store.get(ref, object.metadata.namespace, name) as Loose | undefined;
      if (old === undefined) throw newNotFound(ref, name);
      const { resourceVersion, uid } = object.metadata;
      if (
        resourceVersion !== undefined &&
        resourceVersion !== "" &&
        resourceVersion !== old.metadata.resourceVersion
      ) {
        throw newConflict(ref, name);
      }
      if (uid !== undefined && uid !== old.metadata.uid) {
        throw newConflict(
          ref,
          name,
          `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${old.metadata.uid ?? ""}`,
        );
      }
      return finish(ref, old, merged(ref, old, object, part), dryRun);
    },

    delete(ref, input, options) {
      const object = input as Loose;
      const { metadata } = object;
      checkPreconditions(ref, object, options);
      const dryRun = (options.dryRun ?? []).length > 0;
      const grace = gracePeriod(ref, object, options);
      const finalizers = finalizersFor(metadata.finalizers ?? [], options.propagationPolicy);
      const next = withDeletion(object, finalizers, grace, clock.now());
      if (isFinished(ref, next)) {
        if (!dryRun) store.remove(ref, next);
        return undefined;
      }
      const unchanged = jsonEqual(next, object);
      if (dryRun || unchanged) return unchanged ? object : next;
      return store.put(ref, ref.resource === "namespaces" ? terminating(next) : next);
    },
  };
}

function metadataForCreate(
  ref: ResourceRef,
  namespace: string | undefined,
  object: Loose,
): ObjectMeta {
  const {
    resourceVersion,
    uid: _uid,
    deletionTimestamp: _deletion,
    selfLink: _selfLink,
    ...metadata
  } = object.metadata ?? {};
  if (resourceVersion !== undefined && resourceVersion !== "") {
    throw newBadRequest("resourceVersion should not be set on objects to be created");
  }
  if (object.kind !== undefined && object.kind !== ref.kind) {
    throw newBadRequest(
      `${ref.kind} in version ${JSON.stringify(ref.version)} cannot be handled as a ${ref.kind}: no kind ${JSON.stringify(object.kind)} is registered for version ${JSON.stringify(formatGroupVersion(ref))}`,
    );
  }
  if (
    metadata.namespace !== undefined &&
    metadata.namespace !== "" &&
    metadata.namespace !== namespace
  ) {
    throw newBadRequest(
      "the namespace of the provided object does not match the namespace sent on the request",
    );
  }
  if ((metadata.name ?? "") === "" && (metadata.generateName ?? "") === "") {
    const cause = fieldRequired("metadata.name", "name or generateName is required");
    throw newInvalid(ref, "", [cause]);
  }
  const { name, ...rest } = metadata;
  return {
    ...(name === undefined || name === "" ? {} : { name }),
    ...rest,
    ...(ref.namespaced ? { namespace: namespace ?? "default" } : {}),
  };
}

/** What a fresh object's status looks like, whatever was sent. */
function withInitialStatus(ref: ResourceRef, object: Loose): Loose {
  if (!hasStatus(ref)) return object;
  const { status: _status, ...rest } = object;
  if (ref.resource === "pods") return { ...rest, status: { phase: "Pending" } } as unknown as Loose;
  if (ref.resource === "namespaces") {
    const spec = { finalizers: ["kubernetes"] };
    return { ...rest, spec, status: { phase: "Active" } } as unknown as Loose;
  }
  return { ...rest, status: {} } as unknown as Loose;
}

function merged(ref: ResourceRef, old: Loose, object: Loose, part: UpdatePart): Loose {
  if (part === "status") return { ...old, status: object["status"] } as unknown as Loose;
  if (part === "finalize") return { ...old, spec: object["spec"] } as unknown as Loose;
  const {
    uid,
    creationTimestamp,
    generation,
    resourceVersion,
    deletionTimestamp,
    deletionGracePeriodSeconds,
  } = old.metadata;
  const next = {
    ...object,
    apiVersion: formatGroupVersion(ref),
    kind: ref.kind,
    metadata: defined({
      ...object.metadata,
      namespace: old.metadata.namespace,
      uid,
      creationTimestamp,
      generation,
      resourceVersion,
      deletionTimestamp,
      deletionGracePeriodSeconds,
    }),
    ...(hasStatus(ref) ? { status: old["status"] } : {}),
  } as unknown as Loose;
  if (ref.resource === "namespaces" && next["spec"] === undefined)
    Object.assign(next, { spec: old["spec"] });
  if (!hasGeneration(ref) || jsonEqual(content(next), content(old))) return next;
  return {
    ...next,
    metadata: { ...next.metadata, generation: (generation ?? 0) + 1 },
  } as unknown as Loose;
}

/** Everything whose change counts as a new generation. */
function content(object: Loose): Json {
  const {
    metadata: _metadata,
    status: _status,
    apiVersion: _apiVersion,
    kind: _kind,
    ...rest
  } = object;
  return rest;
}

/** True when an object that is being deleted has nothing left to wait for. */
function isFinished(ref: ResourceRef, object: Loose): boolean {
  const { deletionTimestamp, deletionGracePeriodSeconds, finalizers } = object.metadata;
  if (deletionTimestamp === undefined || (finalizers ?? []).length > 0) return false;
  if (ref.resource === "namespaces") {
    const spec = object["spec"] as { finalizers?: readonly string[] } | undefined;
    if ((spec?.finalizers ?? []).length > 0) return false;
  }
  return (deletionGracePeriodSeconds ?? 0) === 0;
}

function checkPreconditions(ref: ResourceRef, object: Loose, options: MemoryDeleteOptions): void {
  const { uid, resourceVersion } = options.preconditions ?? {};
  const name = object.metadata.name ?? "";
  if (uid !== undefined && uid !== object.metadata.uid) {
    throw newConflict(
      { group: "", resource: ref.kind },
      name,
      `the UID in the precondition (${uid}) does not match the UID in record (${object.metadata.uid ?? ""}). The object might have been deleted and then recreated`,
    );
  }
  if (resourceVersion !== undefined && resourceVersion !== object.metadata.resourceVersion) {
    throw newConflict(
      { group: "", resource: ref.kind },
      name,
      `the ResourceVersion in the precondition (${resourceVersion}) does not match the ResourceVersion in record (${object.metadata.resourceVersion ?? ""}). The object might have been modified`,
    );
  }
}

/** Only a pod that a node agent may be running has a grace period; a later deletion can only shorten it. */
function gracePeriod(ref: ResourceRef, object: Loose, options: MemoryDeleteOptions): number {
  if (ref.resource !== "pods") return 0;
  const { spec, status, metadata } = object as unknown as Pod;
  const isRunning =
    (spec.nodeName ?? "") !== "" && status?.phase !== "Succeeded" && status?.phase !== "Failed";
  if (!isRunning) return 0;
  const asked = options.gracePeriodSeconds ?? spec.terminationGracePeriodSeconds ?? 30;
  const current =
    metadata.deletionTimestamp === undefined ? undefined : metadata.deletionGracePeriodSeconds;
  if (current === undefined) return asked;
  return options.gracePeriodSeconds === undefined ? current : Math.min(current, asked);
}

function finalizersFor(present: readonly string[], policy: string | undefined): readonly string[] {
  if (policy === undefined) return present;
  const others = present.filter((one) => one !== "orphan" && one !== "foregroundDeletion");
  if (policy === "Orphan") return [...others, "orphan"];
  return policy === "Foreground" ? [...others, "foregroundDeletion"] : others;
}

function withDeletion(
  object: Loose,
  finalizers: readonly string[],
  grace: number,
  nowMs: number,
): Loose {
  const { metadata } = object;
  const isFirst = metadata.deletionTimestamp === undefined;
  const isShorter = !isFirst && grace < (metadata.deletionGracePeriodSeconds ?? 0);
  return {
    ...object,
    metadata: {
      ...metadata,
      ...(finalizers.length > 0 ? { finalizers } : {}),
      ...(isFirst || isShorter
        ? { deletionTimestamp: formatTime(nowMs + grace * 1000), deletionGracePeriodSeconds: grace }
        : {}),
    },
  } as unknown as Loose;
}

function terminating(object: Loose): Loose {
  return { ...object, status: { phase: "Terminating" } } as unknown as Loose;
}

function defined(metadata: { readonly [key: string]: unknown }): ObjectMeta {
  return Object.fromEntries(Object.entries(metadata).filter(([, value]) => value !== undefined));
}

import { resources, type ResourceRef } from "@wherry/client";
import {
  controllerOf,
  controllerReference,
  findCondition,
  isApiError,
  isBeingDeleted,
  isNotFound,
  labelSelectorFrom,
  objectKey,
  parseTime,
  type KubeObject,
  type LabelSelector,
  type Pod,
  type PodTemplateSpec,
} from "@wherry/machinery";
import { withType, type ControllerContext } from "./controller.ts";
import type { Expectations } from "./expectations.ts";

/** What owns pods. */
export interface PodOwner {
  readonly apiVersion: string;
  readonly kind: string;
  readonly ref: ResourceRef;
}

export function isEnded(pod: Pod): boolean {
  return pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed";
}

export function isActive(pod: Pod): boolean {
  return !isEnded(pod) && !isBeingDeleted(pod);
}

export function isReady(pod: Pod): boolean {
  return findCondition(pod.status?.conditions, "Ready")?.status === "True";
}

/** Ready for at least `minReadySeconds`. */
export function isAvailable(pod: Pod, minReadySeconds: number, nowMs: number): boolean {
  const ready = findCondition(pod.status?.conditions, "Ready");
  if (ready?.status !== "True") return false;
  return (
    minReadySeconds === 0 ||
    (ready.lastTransitionTime !== undefined &&
      parseTime(ready.lastTransitionTime) + minReadySeconds * 1_000 <= nowMs)
  );
}

/** Milliseconds until the first of these pods has been ready for `minReadySeconds`; undefined when none is on its way there. */
export function untilAvailableMs(
  pods: readonly Pod[],
  minReadySeconds: number,
  nowMs: number,
): number | undefined {
  const waits = pods
    .filter((pod) => isActive(pod) && isReady(pod) && !isAvailable(pod, minReadySeconds, nowMs))
    .map((pod) => readySinceMs(pod) + minReadySeconds * 1_000 - nowMs);
  return waits.length === 0 ? undefined : Math.max(1, Math.min(...waits));
}

function readySinceMs(pod: Pod): number {
  const since = isReady(pod)
    ? findCondition(pod.status?.conditions, "Ready")?.lastTransitionTime
    : undefined;
  return since === undefined ? 0 : parseTime(since);
}

/**
 * The order in which a shrinking owner gives pods up: those that do least first, and of equals those that share their node with most others (upstream's
 * ActivePodsWithRanks).
 */
export function mostExpendableFirst(pods: readonly Pod[]): Pod[] {
  const onNode = Map.groupBy(pods, (pod) => pod.spec.nodeName ?? "");
  const rank = (pod: Pod): number[] => [
    (pod.spec.nodeName ?? "") === "" ? 0 : 1,
    { Pending: 0, Unknown: 1, Running: 2 }[pod.status?.phase ?? "Pending"] ?? 0,
    isReady(pod) ? 1 : 0,
    Number(pod.metadata.annotations?.["controller.kubernetes.io/pod-deletion-cost"] ?? 0),
    -(onNode.get(pod.spec.nodeName ?? "")?.length ?? 0),
    // Ready for a shorter time first.
    -readySinceMs(pod),
    -restarts(pod),
    // The younger first.
    -parseTime(pod.metadata.creationTimestamp ?? "1970-01-01T00:00:00Z"),
  ];
  const ranked = pods.map((pod) => ({ pod, ranks: rank(pod) }));
  ranked.sort((a, b) => {
    const index = a.ranks.findIndex((value, at) => value !== b.ranks[at]);
    return index < 0 ? 0 : (a.ranks[index] ?? 0) - (b.ranks[index] ?? 0);
  });
  return ranked.map(({ pod }) => pod);
}

function restarts(pod: Pod): number {
  return Math.max(0, ...(pod.status?.containerStatuses ?? []).map((one) => one.restartCount ?? 0));
}

/** Pods that the selector matches and that are the owner's or nobody's; those of nobody are to be adopted. */
export function claimPods(
  owner: KubeObject,
  selector: LabelSelector,
  pods: readonly Pod[],
): { readonly owned: Pod[]; readonly adoptable: Pod[]; readonly released: Pod[] } {
  const matcher = labelSelectorFrom(selector);
  const owned: Pod[] = [];
  const adoptable: Pod[] = [];
  const released: Pod[] = [];
  for (const pod of pods) {
    const controller = controllerOf(pod);
    const matches = matcher.matches(pod.metadata.labels ?? {});
    if (controller?.uid === owner.metadata.uid) {
      if (matches) owned.push(pod);
      else if (!isBeingDeleted(owner)) released.push(pod);
    }
    if (controller === undefined && matches && !isBeingDeleted(pod) && !isBeingDeleted(owner))
      adoptable.push(pod);
  }
  return { owned, adoptable, released };
}

export interface PodControl {
  /** Creates a pod from a template, owned by `owner`. Undefined when the namespace is going away: then nothing is wanted there any more. */
  create(
    owner: KubeObject,
    type: PodOwner,
    template: PodTemplateSpec,
    changes?: PodChanges,
  ): Promise<Pod | undefined>;
  delete(owner: KubeObject, type: PodOwner, pod: Pod): Promise<void>;
  /** Rejects when the owner, asked for anew, is another one or is being deleted: the cache may not know yet. */
  adopt(owner: KubeObject, type: PodOwner, pod: Pod): Promise<void>;
  release(owner: KubeObject, pod: Pod): Promise<void>;
}

export interface PodChanges {
  /** Absent: generated from `namePrefix`. */
  readonly name?: string;
  /** "<owner>-" by default. */
  readonly namePrefix?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly finalizers?: readonly string[];
  readonly spec?: Partial<Pod["spec"]>;
}

/** What is said about a pod that was made or removed; StatefulSets word it differently. */
export interface PodEventWords {
  created(owner: string, pod: string): string;
  createFailed(owner: string, pod: string, error: string): string;
  deleted(owner: string, pod: string): string;
  deleteFailed(owner: string, pod: string, error: string): string;
}

const commonWords: PodEventWords = {
  created: (_owner, pod) => `Created pod: ${pod}`,
  createFailed: (_owner, _pod, error) => `Error creating: ${error}`,
  deleted: (_owner, pod) => `Deleted pod: ${pod}`,
  deleteFailed: (_owner, _pod, error) => `Error deleting: ${error}`,
};

/** Makes and removes pods with the events that upstream writes, and keeps the expectations of the owner's key. */
export function createPodControl(
  context: ControllerContext,
  expectations: Expectations,
  words: PodEventWords = commonWords,
): PodControl {
  const { api, events } = context;
  const say = (
    owner: KubeObject,
    type: PodOwner,
    kind: "Normal" | "Warning",
    reason: string,
    message: string,
  ): void => events.event(withType(owner, type.apiVersion, type.kind), kind, reason, message);
  return {
    async create(owner, type, template, changes = {}) {
      const key = objectKey(owner);
      expectations.expectCreations(key, 1);
      const ownerName = owner.metadata.name ?? "";
      const pod: Pod = {
        apiVersion: "v1",
        kind: "Pod",
        metadata: {
          ...(changes.name === undefined
            ? { generateName: changes.namePrefix ?? `${ownerName}-` }
            : { name: changes.name }),
          namespace: owner.metadata.namespace ?? "",
          labels: { ...template.metadata?.labels, ...changes.labels },
          annotations: { ...template.metadata?.annotations, ...changes.annotations },
          finalizers: [...(template.metadata?.finalizers ?? []), ...(changes.finalizers ?? [])],
          ownerReferences: [controllerReference(owner, type)],
        },
        spec: { ...template.spec, ...changes.spec },
      };
      try {
        const created = await api.create(resources.pods, pod);
        say(
          owner,
          type,
          "Normal",
          "SuccessfulCreate",
          words.created(ownerName, created.metadata.name ?? ""),
        );
        return created;
      } catch (error) {
        expectations.sawCreation(key);
        if (isNamespaceTerminating(error)) return undefined;
        say(
          owner,
          type,
          "Warning",
          "FailedCreate",
          words.createFailed(ownerName, changes.name ?? "", (error as Error).message),
        );
        throw error;
      }
    },
    async delete(owner, type, pod) {
      const key = objectKey(owner);
      const { uid = "", name = "", namespace } = pod.metadata;
      const ownerName = owner.metadata.name ?? "";
      expectations.expectDeletions(key, [uid]);
      try {
        await api.delete(resources.pods, name, namespace, { preconditions: { uid } });
        say(owner, type, "Normal", "SuccessfulDelete", words.deleted(ownerName, name));
      } catch (error) {
        expectations.sawDeletion(key, uid);
        if (isNotFound(error)) return;
        say(
          owner,
          type,
          "Warning",
          "FailedDelete",
          words.deleteFailed(ownerName, name, (error as Error).message),
        );
        throw error;
      }
    },
    async adopt(owner, type, pod) {
      const live = await api.get(type.ref, owner.metadata.name ?? "", owner.metadata.namespace);
      if (live.metadata.uid !== owner.metadata.uid)
        throw new Error(
          `${type.kind} ${objectKey(owner)} is gone and another has its name; nothing is adopted`,
        );
      if (isBeingDeleted(live))
        throw new Error(
          `${type.kind} ${objectKey(owner)} has just been deleted; nothing is adopted`,
        );
      const reference = { ...controllerReference(owner, type) };
      await api.patch(
        resources.pods,
        pod.metadata.name ?? "",
        pod.metadata.namespace,
        "strategic",
        { metadata: { ownerReferences: [reference], uid: pod.metadata.uid } },
      );
    },
    async release(owner, pod) {
      const patch = {
        metadata: {
          ownerReferences: [{ $patch: "delete", uid: owner.metadata.uid }],
          uid: pod.metadata.uid,
        },
      };
      await api.patch(
        resources.pods,
        pod.metadata.name ?? "",
        pod.metadata.namespace,
        "strategic",
        patch,
      );
    },
  };
}

/** True for a refusal that stays: nothing new comes into a namespace that is being deleted. */
function isNamespaceTerminating(error: unknown): boolean {
  return (
    isApiError(error, "Forbidden") &&
    error.status.details?.causes?.some((cause) => cause.reason === "NamespaceTerminating") === true
  );
}

/** Starts a few at first and doubles while all go well (upstream's slow start), so that a quota is not hit a thousand times. */
export async function slowStart(
  count: number,
  create: (index: number) => Promise<unknown>,
): Promise<void> {
  let done = 0;
  for (let batch = 1; done < count; batch *= 2) {
    const size = Math.min(batch, count - done);
    const offset = done;
    const results = await Promise.allSettled(
      Array.from({ length: size }, (_, index) => create(offset + index)),
    );
    const failed = results.find((result) => result.status === "rejected");
    if (failed !== undefined) throw failed.reason;
    done += size;
  }
}

import { resources } from "@wherry/client";
import { controllerOf, controllerReference, findCondition, isBeingDeleted, isNotFound, labelSelectorFrom, objectKey, parseTime, type KubeObject, type LabelSelector, type Pod, type PodTemplateSpec } from "@wherry/machinery";
import { withType, type ControllerContext } from "./controller.ts";
import type { Expectations } from "./expectations.ts";

/** What owns pods. */
export interface PodOwner {
  readonly apiVersion: string;
  readonly kind: string;
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
  return minReadySeconds === 0 || (ready.lastTransitionTime !== undefined && parseTime(ready.lastTransitionTime) + minReadySeconds * 1_000 <= nowMs);
}

/** The order in which a shrinking owner gives pods up: those that do least first (upstream's ActivePodsWithRanks without ranks). */
export function byExpendability(a: Pod, b: Pod): number {
  const rank = (pod: Pod): number[] => [
    (pod.spec.nodeName ?? "") === "" ? 0 : 1,
    { Pending: 0, Unknown: 1, Running: 2 }[pod.status?.phase ?? "Pending"] ?? 0,
    isReady(pod) ? 1 : 0,
    Number(pod.metadata.annotations?.["controller.kubernetes.io/pod-deletion-cost"] ?? 0),
    -restarts(pod),
    // The younger first.
    -parseTime(pod.metadata.creationTimestamp ?? "1970-01-01T00:00:00Z"),
  ];
  const [left, right] = [rank(a), rank(b)];
  const index = left.findIndex((value, at) => value !== right[at]);
  return index < 0 ? 0 : (left[index] ?? 0) - (right[index] ?? 0);
}

function restarts(pod: Pod): number {
  return Math.max(0, ...(pod.status?.containerStatuses ?? []).map((one) => one.restartCount ?? 0));
}

/** Pods that the selector matches and that are the owner's or nobody's; those of nobody are to be adopted. */
export function claimPods(owner: KubeObject, selector: LabelSelector, pods: readonly Pod[]): { readonly owned: Pod[]; readonly adoptable: Pod[]; readonly released: Pod[] } {
  const matcher = labelSelectorFrom(selector);
  const owned: Pod[] = [];
  const adoptable: Pod[] = [];
  const released: Pod[] = [];
  for (const pod of pods) {
    const controller = controllerOf(pod);
    const matches = matcher.matches(pod.metadata.labels ?? {});
    if (controller?.uid === owner.metadata.uid) (matches ? owned : released).push(pod);
    else if (controller === undefined && matches && !isBeingDeleted(pod) && !isBeingDeleted(owner)) adoptable.push(pod);
  }
  return { owned, adoptable, released };
}

export interface PodControl {
  /** Creates a pod from a template, owned by `owner`. `name` absent: generated from the owner's name. */
  create(owner: KubeObject, type: PodOwner, template: PodTemplateSpec, changes?: { readonly name?: string; readonly labels?: Readonly<Record<string, string>>; readonly annotations?: Readonly<Record<string, string>>; readonly finalizers?: readonly string[]; readonly spec?: Partial<Pod["spec"]> }): Promise<Pod>;
  delete(owner: KubeObject, type: PodOwner, pod: Pod): Promise<void>;
  adopt(owner: KubeObject, type: PodOwner, pod: Pod): Promise<void>;
  release(owner: KubeObject, pod: Pod): Promise<void>;
}

/** Makes and removes pods with the events that upstream writes, and keeps the expectations of the owner's key. */
export function createPodControl(context: ControllerContext, expectations: Expectations): PodControl {
  const { api, events } = context;
  return {
    async create(owner, type, template, changes = {}) {
      const key = objectKey(owner);
      expectations.expectCreations(key, 1);
      const ownerName = owner.metadata.name ?? "";
      const pod: Pod = {
        apiVersion: "v1",
        kind: "Pod",
        metadata: {
          ...(changes.name === undefined ? { generateName: `${ownerName}-` } : { name: changes.name }),
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
        events.event(withType(owner, type.apiVersion, type.kind), "Normal", "SuccessfulCreate", `Created pod: ${created.metadata.name}`);
        return created;
      } catch (error) {
        expectations.sawCreation(key);
        events.event(withType(owner, type.apiVersion, type.kind), "Warning", "FailedCreate", `Error creating: ${(error as Error).message}`);
        throw error;
      }
    },
    async delete(owner, type, pod) {
      const key = objectKey(owner);
      const uid = pod.metadata.uid ?? "";
      expectations.expectDeletions(key, [uid]);
      try {
        await api.delete(resources.pods, pod.metadata.name ?? "", pod.metadata.namespace, { preconditions: { uid } });
        events.event(withType(owner, type.apiVersion, type.kind), "Normal", "SuccessfulDelete", `Deleted pod: ${pod.metadata.name}`);
      } catch (error) {
        expectations.sawDeletion(key, uid);
        if (isNotFound(error)) return;
        events.event(withType(owner, type.apiVersion, type.kind), "Warning", "FailedDelete", `Error deleting: ${(error as Error).message}`);
        throw error;
      }
    },
    async adopt(owner, type, pod) {
      const reference = { ...controllerReference(owner, type) };
      await api.patch(resources.pods, pod.metadata.name ?? "", pod.metadata.namespace, "strategic", { metadata: { ownerReferences: [reference], uid: pod.metadata.uid } });
    },
    async release(owner, pod) {
      const patch = { metadata: { ownerReferences: [{ $patch: "delete", uid: owner.metadata.uid }], uid: pod.metadata.uid } };
      await api.patch(resources.pods, pod.metadata.name ?? "", pod.metadata.namespace, "strategic", patch);
    },
  };
}

/** Starts a few at first and doubles while all go well (upstream's slow start), so that a quota is not hit a thousand times. */
export async function slowStart(count: number, create: (index: number) => Promise<unknown>): Promise<void> {
  let done = 0;
  for (let batch = 1; done < count; batch *= 2) {
    const size = Math.min(batch, count - done);
    const offset = done;
    const results = await Promise.allSettled(Array.from({ length: size }, (_, index) => create(offset + index)));
    const failed = results.find((result) => result.status === "rejected");
    if (failed !== undefined) throw failed.reason;
    done += size;
  }
}

import type { KubeObject } from "@wherry/machinery";
import type { AdmissionPlugin } from "../chain.ts";
import type { ObjectStore } from "../object-store.ts";
import { resourceIds } from "../auth/resource-ids.ts";
import { isResource, podSpecDraft, type StoredPod } from "./pod-draft.ts";
import { admissionForbidden } from "./refuse.ts";

interface PriorityClass extends KubeObject {
  readonly value?: number;
  readonly globalDefault?: boolean;
  readonly preemptionPolicy?: string;
}

/** Writes the number and the pre-emption policy of a pod's priority class into it; at most one class may be the default. */
export function createPriorityAdmission(
  store: Pick<ObjectStore, "peek" | "peekAll">,
): AdmissionPlugin {
  return {
    name: "Priority",
    mutate(request) {
      const spec = podSpecDraft(request);
      if (spec === undefined) return;
      if (request.operation === "UPDATE") {
        const before: StoredPod | undefined = request.old;
        const old = before?.spec;
        if (spec.priority === undefined && old?.priority !== undefined)
          spec.priority = old.priority;
        if (spec.preemptionPolicy === undefined && old?.preemptionPolicy !== undefined)
          spec.preemptionPolicy = old.preemptionPolicy;
        return;
      }
      if (request.operation !== "CREATE") return;
      const name = spec.priorityClassName ?? "";
      const chosen =
        name === ""
          ? defaultClass(store)
          : store.peek<PriorityClass>(resourceIds.priorityClasses, "", name);
      if (chosen === undefined && name !== "")
        throw admissionForbidden(request, `no PriorityClass with name ${name} was found`);
      if (chosen?.metadata.name !== undefined) spec.priorityClassName = chosen.metadata.name;
      const priority = chosen?.value ?? 0;
      const policy = chosen?.preemptionPolicy ?? "PreemptLowerPriority";
      if (spec.priority !== undefined && spec.priority !== priority) {
        throw admissionForbidden(
          request,
          `the integer value of priority (${spec.priority}) must not be provided in pod spec; priority admission controller computed ${priority} from the given PriorityClass name`,
        );
      }
      if (spec.preemptionPolicy !== undefined && spec.preemptionPolicy !== policy) {
        throw admissionForbidden(
          request,
          `the string value of PreemptionPolicy (${spec.preemptionPolicy}) must not be provided in pod spec; priority admission controller computed ${policy} from the given PriorityClass name`,
        );
      }
      spec.priority = priority;
      spec.preemptionPolicy = policy;
    },
    validate(request) {
      if (
        !isResource(request, "scheduling.k8s.io", "priorityclasses") ||
        request.draft?.["globalDefault"] !== true
      )
        return;
      const other = store
        .peekAll<PriorityClass>(resourceIds.priorityClasses)
        .find(
          (one) =>
            one.globalDefault === true && one.metadata.name !== request.draft?.metadata["name"],
        );
      if (other !== undefined)
        throw admissionForbidden(
          request,
          `PriorityClass ${other.metadata.name} is already marked as default. Only one default can exist`,
        );
    },
  };
}

/** Should several have slipped in, the one with the lowest value counts. */
function defaultClass(store: Pick<ObjectStore, "peekAll">): PriorityClass | undefined {
  const defaults = store
    .peekAll<PriorityClass>(resourceIds.priorityClasses)
    .filter((one) => one.globalDefault === true);
  return defaults.toSorted((left, right) => (left.value ?? 0) - (right.value ?? 0))[0];
}

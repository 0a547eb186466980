import { formatTime, newBadRequest, type Condition, type JsonObject } from "@wherry/machinery";
import type { Draft } from "@wherry/schema";
import type { Clock } from "@wherry/service-kit";
import { resourceIds } from "../auth/resource-ids.ts";
import type { ObjectStore } from "../object-store.ts";
import type { DeleteParameters, ResourceOperations } from "../resource-operations.ts";
import type { ObjectSubresource, SubresourceRequest } from "../subresource-handler.ts";
import {
  budgetsOf,
  needsNoBudget,
  takeDisruption,
  unhealthyPodMayGo,
  type DisruptionBudget,
  type EvictablePod,
} from "./disruption-budget.ts";
import { created } from "./success.ts";

interface Eviction {
  readonly metadata: { readonly name?: string };
  readonly deleteOptions?: {
    readonly gracePeriodSeconds?: number;
    readonly propagationPolicy?: "Orphan" | "Background" | "Foreground";
    readonly preconditions?: { readonly uid?: string; readonly resourceVersion?: string };
    readonly dryRun?: readonly string[];
  };
}

export interface EvictionDependencies {
  readonly store: Pick<ObjectStore, "get" | "list" | "guaranteedUpdate">;
  readonly operations: Pick<ResourceOperations, "delete">;
  readonly clock: Clock;
}

/** policy/v1 Eviction: a graceful delete that disruption budgets can refuse. */
export function createEvictionHandler(dependencies: EvictionDependencies): ObjectSubresource {
  return {
    type: "object",
    group: "",
    resource: "pods",
    subresource: "eviction",
    async create(request, draft) {
      const eviction = draft as unknown as Eviction;
      if (eviction.metadata.name !== request.name)
        throw newBadRequest("name in URL does not match name in Eviction object");
      const dryRun = request.dryRun || (eviction.deleteOptions?.dryRun ?? []).includes("All");
      const pod = await dependencies.store.get<EvictablePod>(
        resourceIds.pods,
        request.namespace,
        request.name,
        { signal: request.signal },
      );
      if (!needsNoBudget(pod)) await spendBudget(dependencies, request, pod, dryRun);
      await evict(dependencies, request, pod, eviction, dryRun);
      return created;
    },
  };
}

async function spendBudget(
  { store, clock }: EvictionDependencies,
  request: SubresourceRequest,
  pod: EvictablePod,
  dryRun: boolean,
): Promise<void> {
  const all = await store.list<DisruptionBudget>(
    resourceIds.podDisruptionBudgets,
    request.namespace,
    { signal: request.signal },
  );
  const [budget, another] = budgetsOf(pod, all);
  if (budget === undefined) return;
  if (another !== undefined)
    throw new Error(
      "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
    );
  if (unhealthyPodMayGo(pod, budget)) return;
  await store.guaranteedUpdate<DisruptionBudget>(
    resourceIds.podDisruptionBudgets,
    request.namespace,
    budget.metadata.name ?? "",
    (draft, current) => {
      draft["status"] = takeDisruption(
        current,
        request.name,
        formatTime(clock.now()),
      ) as unknown as JsonObject;
      return draft;
    },
    { dryRun, signal: request.signal },
  );
}

async function evict(
  { store, operations, clock }: EvictionDependencies,
  request: SubresourceRequest,
  pod: EvictablePod,
  eviction: Eviction,
  dryRun: boolean,
): Promise<void> {
  if (!dryRun && pod.metadata.deletionTimestamp === undefined) {
    await store.guaranteedUpdate<EvictablePod>(
      resourceIds.pods,
      request.namespace,
      request.name,
      (draft) => {
        markDisrupted(draft, clock.now());
        return draft;
      },
      {
        signal: request.signal,
        ...(pod.metadata.uid === undefined ? {} : { preconditions: { uid: pod.metadata.uid } }),
      },
    );
  }
  const { gracePeriodSeconds, propagationPolicy, preconditions } = eviction.deleteOptions ?? {};
  const uid = preconditions?.uid ?? pod.metadata.uid;
  const parameters: DeleteParameters = {
    ...(gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds }),
    ...(propagationPolicy === undefined ? {} : { propagationPolicy }),
    ...(uid === undefined ? {} : { preconditions: { uid } }),
  };
  await operations.delete(request.definition, request.namespace, request.name, parameters, {
    user: request.user,
    dryRun,
    signal: request.signal,
    warn: (text) => request.warn(text),
    // Who may evict need not be allowed to delete: the request has been through admission as an eviction.
    admission: false,
  });
}

function markDisrupted(draft: Draft, now: number): void {
  const status = (draft["status"] ??= {}) as { conditions?: Condition[] };
  const condition: Condition = {
    type: "DisruptionTarget",
    status: "True",
    lastTransitionTime: formatTime(now),
    reason: "EvictionByEvictionAPI",
    message: "Eviction API: evicting",
  };
  status.conditions = [
    ...(status.conditions ?? []).filter((one) => one.type !== condition.type),
    condition,
  ];
}

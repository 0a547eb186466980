import {
  ApiError,
  formatTime,
  newBadRequest,
  newConflict,
  type Condition,
  type KubeObject,
} from "@wherry/machinery";
import type { Draft } from "@wherry/schema";
import type { Clock } from "@wherry/service-kit";
import { resourceIds } from "../auth/resource-ids.ts";
import type { ObjectStore } from "../object-store.ts";
import type { ObjectSubresource, SubresourceRequest } from "../subresource-handler.ts";
import { created } from "./success.ts";

interface Binding {
  readonly metadata: {
    readonly name?: string;
    readonly uid?: string;
    readonly resourceVersion?: string;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly labels?: Readonly<Record<string, string>>;
  };
  readonly target?: { readonly kind?: string; readonly name?: string };
}

interface Pod extends KubeObject {
  readonly spec?: { readonly nodeName?: string; readonly schedulingGates?: readonly unknown[] };
}

interface PodDraft {
  metadata: { annotations?: Record<string, string>; labels?: Record<string, string> };
  spec: { nodeName?: string };
  status?: { conditions?: Condition[]; nominatedNodeName?: string };
}

/** Binds a pod to a node: how every scheduler does it. Served at pods/<name>/binding and, in its old form, at bindings. */
export function createBindingHandlers(
  store: Pick<ObjectStore, "guaranteedUpdate">,
  clock: Clock,
): readonly ObjectSubresource[] {
  const create = async (request: SubresourceRequest, draft: Draft): Promise<typeof created> => {
    const binding = draft as unknown as Binding;
    const name = request.name || binding.metadata.name || "";
    if (binding.metadata.name !== name)
      throw newBadRequest("name in URL does not match name in Binding object");
    assertTarget(binding);
    await bind(store, clock, request, name, binding);
    return created;
  };
  return [
    { type: "object", group: "", resource: "pods", subresource: "binding", create },
    { type: "object", group: "", resource: "bindings", subresource: "", create },
  ];
}

/** Upstream does not make an Invalid answer of these: they come as a plain 500. */
function assertTarget({ target }: Binding): void {
  const errors: string[] = [];
  if (target?.kind !== undefined && target.kind !== "" && target.kind !== "Node") {
    errors.push(
      `target.kind: Unsupported value: ${JSON.stringify(target.kind)}: supported values: "Node", "<empty>"`,
    );
  }
  if (!target?.name) errors.push("target.name: Required value");
  if (errors.length > 0)
    throw new Error(errors.length === 1 ? errors[0] : `[${errors.join(", ")}]`);
}

async function bind(
  store: Pick<ObjectStore, "guaranteedUpdate">,
  clock: Clock,
  request: SubresourceRequest,
  name: string,
  binding: Binding,
): Promise<void> {
  const { uid, resourceVersion, annotations = {}, labels = {} } = binding.metadata;
  const node = binding.target?.name ?? "";
  try {
    await store.guaranteedUpdate<Pod>(
      resourceIds.pods,
      request.namespace,
      name,
      (draft, current) => {
        const obstacle = obstacleOf(current, name);
        if (obstacle !== undefined)
          throw newConflict({ group: "", resource: "pods/binding" }, name, obstacle);
        const pod = draft as unknown as PodDraft;
        pod.spec.nodeName = node;
        if (Object.keys(annotations).length > 0)
          pod.metadata.annotations = { ...pod.metadata.annotations, ...annotations };
        if (Object.keys(labels).length > 0)
          pod.metadata.labels = { ...labels, ...pod.metadata.labels };
        markScheduled(pod, clock.now());
        return draft;
      },
      {
        dryRun: request.dryRun,
        signal: request.signal,
        ...(uid === undefined && resourceVersion === undefined
          ? {}
          : {
              preconditions: {
                ...(uid === undefined ? {} : { uid }),
                ...(resourceVersion === undefined ? {} : { resourceVersion }),
              },
            }),
      },
    );
  } catch (error) {
    if (
      error instanceof ApiError &&
      error.reason === "Conflict" &&
      !error.message.includes("pods/binding")
    ) {
      throw newConflict(
        { group: "", resource: "pods/binding" },
        name,
        error.message.replace(/^Operation cannot be fulfilled on [^:]*: /, ""),
      );
    }
    throw error;
  }
}

function obstacleOf(pod: Pod, name: string): string | undefined {
  if (pod.metadata.deletionTimestamp !== undefined)
    return `pod ${name} is being deleted, cannot be assigned to a host`;
  if (pod.spec?.nodeName)
    return `pod ${name} is already assigned to node ${JSON.stringify(pod.spec.nodeName)}`;
  if ((pod.spec?.schedulingGates ?? []).length > 0)
    return `pod ${name} has non-empty .spec.schedulingGates`;
  return undefined;
}

function markScheduled(pod: PodDraft, now: number): void {
  const status = (pod.status ??= {});
  delete status.nominatedNodeName;
  const others = (status.conditions ?? []).filter((condition) => condition.type !== "PodScheduled");
  const known = status.conditions?.find(
    (condition) => condition.type === "PodScheduled" && condition.status === "True",
  );
  status.conditions = [
    ...others,
    known ?? { type: "PodScheduled", status: "True", lastTransitionTime: formatTime(now) },
  ];
}

import { isDeepStrictEqual } from "node:util";
import {
  fieldForbidden,
  fieldInvalid,
  newConflict,
  newInvalid,
  type Json,
  type KubeObject,
  type StatusCause,
} from "@wherry/machinery";
import type { Draft } from "@wherry/schema";
import { resourceIds } from "../auth/resource-ids.ts";
import type { ObjectStore } from "../object-store.ts";
import type { ObjectSubresource, SubresourceRequest } from "../subresource-handler.ts";
import { qosClass, type ResourceContainer } from "./qos-class.ts";

interface Container extends ResourceContainer {
  readonly [field: string]: Json | undefined;
  readonly name?: string;
}

interface PodSpec {
  readonly containers?: readonly Container[];
  readonly initContainers?: readonly Container[];
  readonly ephemeralContainers?: readonly Container[];
}

interface Pod extends KubeObject {
  readonly spec?: PodSpec;
}

interface Part {
  /** The new spec, made of the stored one and what this subresource takes from the request. */
  apply(current: PodSpec, wanted: PodSpec): PodSpec;
  check(current: PodSpec, next: PodSpec): readonly StatusCause[];
}

/** Subresources of a pod that change one part of its spec and nothing else. */
export function createPodSpecPartHandlers(
  store: Pick<ObjectStore, "get" | "guaranteedUpdate">,
): readonly ObjectSubresource[] {
  return [
    handlerOf(store, "ephemeralcontainers", ephemeralContainers),
    handlerOf(store, "resize", resize),
  ];
}

const ephemeralContainers: Part = {
  apply: (current, wanted) => ({
    ...current,
    ephemeralContainers: wanted.ephemeralContainers ?? [],
  }),
  check(current, next) {
    const byName = new Map(
      (next.ephemeralContainers ?? []).map((container) => [container.name, container]),
    );
    return (current.ephemeralContainers ?? []).flatMap((container) => {
      const kept = byName.get(container.name);
      if (kept === undefined)
        return [
          fieldForbidden(
            "spec.ephemeralContainers",
            `existing ephemeral containers ${JSON.stringify(container.name)} may not be removed\n`,
          ),
        ];
      if (!isDeepStrictEqual(kept, container))
        return [
          fieldForbidden(
            "spec.ephemeralContainers",
            `existing ephemeral containers ${JSON.stringify(container.name)} may not be changed\n`,
          ),
        ];
      return [];
    });
  },
};

const resize: Part = {
  apply(current, wanted) {
    const take = (
      own: readonly Container[] | undefined,
      sent: readonly Container[] | undefined,
    ): readonly Container[] => {
      const byName = new Map((sent ?? []).map((container) => [container.name, container]));
      return (own ?? []).map((container) => {
        const other = byName.get(container.name);
        if (other === undefined) return container;
        const { resources: _resources, resizePolicy, ...rest } = container;
        const policy = other["resizePolicy"] ?? resizePolicy;
        return {
          ...rest,
          resources: other.resources ?? {},
          ...(policy === undefined ? {} : { resizePolicy: policy }),
        };
      });
    };
    return {
      ...current,
      containers: take(current.containers, wanted.containers),
      ...(current.initContainers === undefined
        ? {}
        : { initContainers: take(current.initContainers, wanted.initContainers) }),
    };
  },
  check(current, next) {
    if (qosClass(current) !== qosClass(next))
      return [
        fieldInvalid(
          "spec",
          qosClass(next),
          "Pod QOS Class may not change as a result of resizing",
        ),
      ];
    const dropped = (next.containers ?? []).flatMap((container, index) => {
      const before = current.containers?.[index]?.resources;
      return (["requests", "limits"] as const).flatMap((kind) =>
        (["cpu", "memory"] as const).flatMap((resource) =>
          before?.[kind]?.[resource] !== undefined &&
          container.resources?.[kind]?.[resource] === undefined
            ? [
                fieldForbidden(
                  `spec.containers[${index}].resources.${kind}`,
                  `resource ${kind} cannot be removed`,
                ),
              ]
            : [],
        ),
      );
    });
    return dropped;
  },
};

function handlerOf(
  store: Pick<ObjectStore, "get" | "guaranteedUpdate">,
  subresource: string,
  part: Part,
): ObjectSubresource {
  return {
    type: "object",
    group: "",
    resource: "pods",
    subresource,
    get: (request) =>
      store.get<Pod>(resourceIds.pods, request.namespace, request.name, { signal: request.signal }),
    update: (request, build) =>
      store.guaranteedUpdate<Pod>(
        resourceIds.pods,
        request.namespace,
        request.name,
        async (draft, current) => change(request, part, draft, current, await build(current)),
        {
          dryRun: request.dryRun,
          signal: request.signal,
        },
      ),
  };
}

function change(
  request: SubresourceRequest,
  part: Part,
  draft: Draft,
  current: Pod,
  wanted: Pod,
): Draft | undefined {
  const { resourceVersion } = wanted.metadata;
  if (resourceVersion && resourceVersion !== current.metadata.resourceVersion)
    throw newConflict(resourceIds.pods, request.name);
  const before = current.spec ?? {};
  const next = part.apply(before, wanted.spec ?? {});
  if (isDeepStrictEqual(before, next)) return undefined;
  draft["spec"] = structuredClone(next) as unknown as Json;
  request.definition.strategy.applyDefaults(draft);
  const causes = [
    ...part.check(before, draft["spec"] as unknown as PodSpec),
    ...request.definition.strategy.validate(draft),
  ];
  if (causes.length > 0) throw newInvalid({ group: "", kind: "Pod" }, request.name, causes);
  draft.metadata["generation"] = (current.metadata.generation ?? 0) + 1;
  return draft;
}

import {
  fieldInvalid,
  labelSelectorFrom,
  labelSelectorFromMap,
  newConflict,
  newInvalid,
  type KubeObject,
  type LabelSelector,
} from "@wherry/machinery";
import type { Draft } from "@wherry/schema";
import type { ResourceOperations } from "../resource-operations.ts";
import type { ObjectSubresource, SubresourceRequest } from "../subresource-handler.ts";

interface Scalable extends KubeObject {
  readonly spec?: {
    readonly replicas?: number;
    readonly selector?: LabelSelector | Readonly<Record<string, string>>;
  };
  readonly status?: { readonly replicas?: number };
}

interface Scale extends KubeObject {
  readonly spec?: { readonly replicas?: number };
}

const scalable = [
  { group: "apps", resource: "deployments" },
  { group: "apps", resource: "replicasets" },
  { group: "apps", resource: "statefulsets" },
  { group: "", resource: "replicationcontrollers" },
] as const;

/** autoscaling/v1 Scale of everything that has replicas: one number that `kubectl scale` and autoscalers may change without knowing the kind. */
export function createScaleHandlers(
  operations: Pick<ResourceOperations, "get" | "update">,
): readonly ObjectSubresource[] {
  return scalable.map(({ group, resource }): ObjectSubresource => ({
    type: "object",
    group,
    resource,
    subresource: "scale",
    async get(request) {
      return scaleOf(
        await operations.get<Scalable>(request.definition, request.namespace, request.name),
      );
    },
    async update(request, build) {
      const { object } = await operations.update(
        request.definition,
        request.namespace,
        request.name,
        async (current) => {
          if (current === undefined) throw new TypeError("scale needs an existing object");
          const scale = (await build(scaleOf(current))) as unknown as Scale;
          return withReplicas(request, current, scale);
        },
        { subresource: "scale" },
        // The Scale itself has been admitted while it was built.
        {
          user: request.user,
          dryRun: request.dryRun,
          signal: request.signal,
          warn: (text) => request.warn(text),
          admission: false,
        },
      );
      return scaleOf(object);
    },
  }));
}

function withReplicas(
  { definition: { group, resource } }: SubresourceRequest,
  current: Scalable,
  scale: Scale,
): Draft {
  const name = current.metadata.name ?? "";
  const replicas = scale.spec?.replicas ?? 0;
  if (replicas < 0) {
    throw newInvalid({ group: "autoscaling", kind: "Scale" }, name, [
      fieldInvalid("spec.replicas", replicas, "must be greater than or equal to 0"),
    ]);
  }
  const { resourceVersion, uid } = scale.metadata;
  if (resourceVersion && resourceVersion !== current.metadata.resourceVersion)
    throw newConflict({ group, resource }, name);
  if (uid && uid !== current.metadata.uid) {
    throw newConflict(
      { group, resource },
      name,
      `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${current.metadata.uid ?? ""}`,
    );
  }
  const draft = structuredClone(current) as unknown as Draft;
  draft["spec"] = { ...(draft["spec"] as Readonly<Record<string, never>>), replicas };
  return draft;
}

function scaleOf(object: Scalable): KubeObject {
  const { name, namespace, uid, resourceVersion, creationTimestamp } = object.metadata;
  const replicas = object.spec?.replicas ?? 0;
  const selector = selectorText(object.spec?.selector);
  const scale = {
    kind: "Scale",
    apiVersion: "autoscaling/v1",
    metadata: { name, namespace, uid, resourceVersion, creationTimestamp },
    spec: replicas === 0 ? {} : { replicas },
    status: { replicas: object.status?.replicas ?? 0, ...(selector === "" ? {} : { selector }) },
  };
  return scale as unknown as KubeObject;
}

/** Replication controllers select by a plain map, the others by a LabelSelector. */
function selectorText(selector: NonNullable<Scalable["spec"]>["selector"]): string {
  if (selector === undefined) return "";
  const structured = "matchLabels" in selector || "matchExpressions" in selector;
  return (
    structured
      ? labelSelectorFrom(selector)
      : labelSelectorFromMap(selector as Readonly<Record<string, string>>)
  ).toString();
}

import type { KubeObject } from "@wherry/machinery";
import type { ObjectChange, ObjectStore } from "../object-store.ts";
import { resourceIds } from "./resource-ids.ts";

/** What a pod's node may read because the pod needs it. */
export type ReferenceKind =
  | "secrets"
  | "configmaps"
  | "persistentvolumeclaims"
  | "serviceaccounts"
  | "pods"
  | "resourceclaims";

export interface NodeReferences {
  /** True if a pod of `node` refers to the object. */
  refersTo(node: string, kind: ReferenceKind, namespace: string, name: string): boolean;
  close(): void;
}

interface Named {
  readonly name?: string;
}

interface Container {
  readonly env?: readonly {
    readonly valueFrom?: { readonly secretKeyRef?: Named; readonly configMapKeyRef?: Named };
  }[];
  readonly envFrom?: readonly { readonly secretRef?: Named; readonly configMapRef?: Named }[];
}

type Source = Readonly<Record<string, unknown>>;

interface Pod extends KubeObject {
  readonly spec?: {
    readonly nodeName?: string;
    readonly serviceAccountName?: string;
    readonly imagePullSecrets?: readonly Named[];
    readonly containers?: readonly Container[];
    readonly initContainers?: readonly Container[];
    readonly ephemeralContainers?: readonly Container[];
    readonly volumes?: readonly ({ readonly name?: string } & Source)[];
    readonly resourceClaims?: readonly {
      readonly name?: string;
      readonly resourceClaimName?: string;
    }[];
  };
  readonly status?: {
    readonly resourceClaimStatuses?: readonly { readonly resourceClaimName?: string }[];
  };
}

/**
 * Which objects the pods of each node refer to, kept by following pods. The subscription begins with the first question, so that a
 * cluster whose nodes need no look-up pays nothing. Mirror pods do not count: a node writes them itself.
 */
export function createNodeReferences(store: Pick<ObjectStore, "subscribe">): NodeReferences {
  const nodesOf = new Map<string, Map<string, number>>();
  let end: (() => void) | undefined;

  const count = (node: string, key: string, by: 1 | -1): void => {
    const nodes = nodesOf.get(key) ?? new Map<string, number>();
    const next = (nodes.get(node) ?? 0) + by;
    if (next > 0) nodes.set(node, next);
    else nodes.delete(node);
    if (nodes.size > 0) nodesOf.set(key, nodes);
    else nodesOf.delete(key);
  };
  const apply = (pod: Pod, by: 1 | -1): void => {
    const node = pod.spec?.nodeName;
    if (node === undefined || node === "") return;
    for (const key of podReferences(pod)) count(node, key, by);
  };
  const follow = (change: ObjectChange<Pod>): void => {
    if (change.type === "added") apply(change.object, 1);
    else if (change.type === "deleted") apply(change.object, -1);
    else {
      apply(change.object, 1);
      apply(change.previous, -1);
    }
  };

  return {
    refersTo(node, kind, namespace, name) {
      end ??= store.subscribe<Pod>(resourceIds.pods, follow);
      return nodesOf.get(`${kind}/${namespace}/${name}`)?.has(node) ?? false;
    },
    close() {
      end?.();
      end = undefined;
      nodesOf.clear();
    },
  };
}

/** `kind/namespace/name` of all that a pod refers to, itself included; each once. */
export function podReferences(pod: Pod): ReadonlySet<string> {
  const namespace = pod.metadata.namespace ?? "";
  const keys = new Set<string>([`pods/${namespace}/${pod.metadata.name}`]);
  if (pod.metadata.annotations?.["kubernetes.io/config.mirror"] !== undefined) return keys;
  const add = (kind: ReferenceKind, name: unknown): void => {
    if (typeof name === "string" && name !== "") keys.add(`${kind}/${namespace}/${name}`);
  };
  const spec = pod.spec ?? {};
  add("serviceaccounts", spec.serviceAccountName);
  for (const secret of spec.imagePullSecrets ?? []) add("secrets", secret.name);
  for (const container of [
    ...(spec.containers ?? []),
    ...(spec.initContainers ?? []),
    ...(spec.ephemeralContainers ?? []),
  ]) {
    for (const { valueFrom } of container.env ?? []) {
      add("secrets", valueFrom?.secretKeyRef?.name);
      add("configmaps", valueFrom?.configMapKeyRef?.name);
    }
    for (const source of container.envFrom ?? []) {
      add("secrets", source.secretRef?.name);
      add("configmaps", source.configMapRef?.name);
    }
  }
  for (const volume of spec.volumes ?? []) addVolume(volume, pod.metadata.name ?? "", add);
  for (const claim of spec.resourceClaims ?? []) add("resourceclaims", claim.resourceClaimName);
  for (const claim of pod.status?.resourceClaimStatuses ?? [])
    add("resourceclaims", claim.resourceClaimName);
  return keys;
}

function addVolume(
  volume: Source,
  podName: string,
  add: (kind: ReferenceKind, name: unknown) => void,
): void {
  for (const [kind, value] of Object.entries(volume)) {
    if (typeof value !== "object" || value === null) continue;
    const source = value as Source;
    switch (kind) {
      case "configMap":
        add("configmaps", source["name"]);
        break;
      case "persistentVolumeClaim":
        add("persistentvolumeclaims", source["claimName"]);
        break;
      case "ephemeral":
        add("persistentvolumeclaims", `${podName}-${String(volume["name"])}`);
        break;
      case "projected":
        for (const projection of (source["sources"] as readonly Source[] | undefined) ?? []) {
          add("secrets", (projection["secret"] as Named | undefined)?.name);
          add("configmaps", (projection["configMap"] as Named | undefined)?.name);
        }
        break;
      default:
        // secret and azureFile name it `secretName`; the other volume kinds hold a reference object.
        add("secrets", source["secretName"]);
        add("secrets", (source["secretRef"] as Named | undefined)?.name);
        add("secrets", (source["nodePublishSecretRef"] as Named | undefined)?.name);
    }
  }
}

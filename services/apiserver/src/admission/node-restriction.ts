import { isDeepStrictEqual } from "node:util";
import { isNotFound, newInternal, type KubeObject } from "@wherry/machinery";
import type { AdmissionPlugin, AdmissionRequest } from "../chain.ts";
import type { ObjectStore } from "../object-store.ts";
import { podReferences } from "../auth/node-references.ts";
import { resourceIds } from "../auth/resource-ids.ts";
import { nodeFromUser } from "../auth/well-known-users.ts";
import { annotationsOf, isResource, mirrorAnnotation, type StoredPod } from "./pod-draft.ts";
import { admissionForbidden } from "./refuse.ts";

/** Labels under kubernetes.io and k8s.io that a node may set on itself (k8s.io/kubelet/pkg/apis). */
const allowedLabels: ReadonlySet<string> = new Set([
  "kubernetes.io/hostname",
  "kubernetes.io/os",
  "kubernetes.io/arch",
  "beta.kubernetes.io/os",
  "beta.kubernetes.io/arch",
  "beta.kubernetes.io/instance-type",
  "node.kubernetes.io/instance-type",
  "failure-domain.beta.kubernetes.io/zone",
  "failure-domain.beta.kubernetes.io/region",
  "topology.kubernetes.io/zone",
  "topology.kubernetes.io/region",
]);
const allowedLabelDomains = ["kubelet.kubernetes.io", "node.kubernetes.io"];
const restrictedDomain = "node-restriction.kubernetes.io";

/** What a node agent writes concerns its own node and the pods bound to it, even where the authorizer cannot tell. */
export function createNodeRestriction(store: Pick<ObjectStore, "get" | "peek">): AdmissionPlugin {
  return {
    name: "NodeRestriction",
    async mutate(request) {
      const node = nodeFromUser(request.user);
      if (node === undefined) return;
      const refusal = await refusalOf(request, node, store);
      if (refusal !== undefined) throw admissionForbidden(request, refusal);
    },
  };
}

async function refusalOf(
  request: AdmissionRequest,
  node: string,
  store: Pick<ObjectStore, "get" | "peek">,
): Promise<string | undefined> {
  if (isResource(request, "", "pods")) return podRefusal(request, node, store);
  if (isResource(request, "", "nodes")) return nodeRefusal(request, node);
  if (isResource(request, "", "serviceaccounts") && request.subresource === "token")
    return tokenRefusal(request, node, store);
  const name = String(request.draft?.metadata["name"] ?? request.name);
  if (isResource(request, "coordination.k8s.io", "leases") && request.operation === "CREATE") {
    if (request.namespace !== "kube-node-lease")
      return 'can only access leases in the "kube-node-lease" system namespace';
    return name === node
      ? undefined
      : "can only access node lease with the same name as the requesting node";
  }
  if (isResource(request, "storage.k8s.io", "csinodes") && request.operation === "CREATE") {
    return name === node
      ? undefined
      : "can only access CSINode with the same name as the requesting node";
  }
  return undefined;
}

async function podRefusal(
  request: AdmissionRequest,
  node: string,
  store: Pick<ObjectStore, "get" | "peek">,
): Promise<string | undefined> {
  const { operation, subresource } = request;
  const boundHere = async (): Promise<boolean> => {
    const pod: StoredPod | undefined =
      request.old ?? (await findPod(store, request.namespace, request.name));
    // A pod that is gone is left to the verb, which answers that it was not found.
    return pod === undefined || pod.spec?.nodeName === node;
  };
  switch (subresource) {
    case "":
      if (operation === "CREATE") return mirrorPodRefusal(request, node);
      if (operation === "DELETE")
        return (await boundHere())
          ? undefined
          : `node "${node}" can only delete pods with spec.nodeName set to itself`;
      return `unexpected operation "${operation}", node "${node}" can only create and delete mirror pods`;
    case "status":
      if (!(await boundHere()))
        return `node "${node}" can only update pod status for pods with spec.nodeName set to itself`;
      return isDeepStrictEqual(
        request.draft?.metadata["labels"] ?? {},
        request.old?.metadata.labels ?? {},
      )
        ? undefined
        : `node "${node}" cannot update labels through pod status`;
    case "eviction":
      return (await boundHere())
        ? undefined
        : `node ${node} can only evict pods with spec.nodeName set to itself`;
    default:
      return `unexpected pod subresource "${subresource}", only 'status' and 'eviction' are allowed`;
  }
}

function mirrorPodRefusal(request: AdmissionRequest, node: string): string | undefined {
  const draft = request.draft;
  if (draft === undefined) return undefined;
  if (annotationsOf(request)[mirrorAnnotation] === undefined) {
    return `pod does not have "${mirrorAnnotation}" annotation, node "${node}" can only create mirror pods`;
  }
  const spec = (draft["spec"] ?? {}) as { readonly nodeName?: string };
  if (spec.nodeName !== node)
    return `node "${node}" can only create pods with spec.nodeName set to itself`;
  const owners = (draft.metadata["ownerReferences"] ?? []) as readonly {
    readonly apiVersion?: string;
    readonly kind?: string;
    readonly name?: string;
    readonly controller?: boolean;
  }[];
  if (owners.length > 1)
    return `node "${node}" can only create pods with a single owner reference set to itself`;
  const owner = owners[0];
  if (
    owner !== undefined &&
    (owner.apiVersion !== "v1" || owner.kind !== "Node" || owner.name !== node)
  ) {
    return `node "${node}" can only create pods with an owner reference set to itself`;
  }
  const { [mirrorAnnotation]: _, ...annotations } = annotationsOf(request);
  const unmarked = {
    ...draft,
    metadata: { ...draft.metadata, annotations },
  } as unknown as KubeObject;
  const texts: Readonly<Record<string, string>> = {
    serviceaccounts: "a service account",
    secrets: "secrets",
    configmaps: "configmaps",
    persistentvolumeclaims: "persistentvolumeclaims",
    resourceclaims: "resourceclaims",
  };
  for (const key of podReferences(unmarked)) {
    const text = texts[key.slice(0, key.indexOf("/"))];
    if (text !== undefined) return `node "${node}" can not create pods that reference ${text}`;
  }
  return undefined;
}

function nodeRefusal(request: AdmissionRequest, node: string): string | undefined {
  const { draft, old, operation } = request;
  const name = request.name || String(draft?.metadata["name"] ?? "");
  if (name !== node) return `node "${node}" is not allowed to modify node "${name}"`;
  if (draft === undefined) return undefined;
  if (operation === "CREATE") {
    const forbidden = labelChanges({}, labelsOf(draft)).filter((label) => !mayLabel(label));
    return forbidden.length === 0
      ? undefined
      : `node "${node}" is not allowed to set the following labels: ${forbidden.join(", ")}`;
  }
  if (operation !== "UPDATE" || old === undefined) return undefined;
  if (
    !isDeepStrictEqual(draft.metadata["ownerReferences"] ?? [], old.metadata.ownerReferences ?? [])
  ) {
    return `node "${node}" is not allowed to modify ownerReferences`;
  }
  const taints = (object: object): unknown =>
    (object as { readonly spec?: { readonly taints?: unknown } }).spec?.taints ?? [];
  if (request.subresource === "" && !isDeepStrictEqual(taints(draft), taints(old)))
    return `node "${node}" is not allowed to modify taints`;
  const forbidden = labelChanges(old.metadata.labels ?? {}, labelsOf(draft)).filter(
    (label) => !mayLabel(label),
  );
  return forbidden.length === 0
    ? undefined
    : `is not allowed to modify labels: ${forbidden.join(", ")}`;
}

function labelsOf(draft: {
  readonly metadata: Readonly<Record<string, unknown>>;
}): Readonly<Record<string, string>> {
  return (draft.metadata["labels"] ?? {}) as Readonly<Record<string, string>>;
}

function labelChanges(
  before: Readonly<Record<string, string>>,
  after: Readonly<Record<string, string>>,
): readonly string[] {
  return [...new Set([...Object.keys(before), ...Object.keys(after)])]
    .filter((key) => before[key] !== after[key])
    .sort();
}

function mayLabel(label: string): boolean {
  const domain = label.includes("/") ? label.slice(0, label.indexOf("/")) : "";
  const within = (parent: string): boolean => domain === parent || domain.endsWith(`.${parent}`);
  if (within(restrictedDomain)) return false;
  if (!within("kubernetes.io") && !within("k8s.io")) return true;
  return allowedLabels.has(label) || allowedLabelDomains.some(within);
}

async function tokenRefusal(
  request: AdmissionRequest,
  node: string,
  store: Pick<ObjectStore, "get" | "peek">,
): Promise<string | undefined> {
  const spec = (request.draft?.["spec"] ?? {}) as {
    readonly audiences?: readonly string[];
    readonly boundObjectRef?: {
      readonly apiVersion?: string;
      readonly kind?: string;
      readonly name?: string;
      readonly uid?: string;
    } | null;
  };
  const ref = spec.boundObjectRef;
  if (!ref || ref.apiVersion !== "v1" || ref.kind !== "Pod" || !ref.name)
    return "node requested token not bound to a pod";
  if (!ref.uid) return "node requested token with a pod binding without a uid";
  const pod = await findPod(store, request.namespace, ref.name);
  if (pod === undefined) throw newInternal(`pods "${ref.name}" not found`);
  if (pod.metadata.uid !== ref.uid)
    return `the UID in the bound object reference (${ref.uid}) does not match the UID in record. The object might have been deleted and then recreated`;
  if (pod.spec?.nodeName !== node)
    return "node requested token bound to a pod scheduled on a different node";
  const allowed = podAudiences(pod);
  const foreign = (spec.audiences ?? []).filter((audience) => !allowed.has(audience));
  // An empty audience list asks for the API server's own.
  return foreign.length === 0 || allowed.has("*")
    ? undefined
    : `audience "${foreign[0]}" not found in pod spec volume`;
}

/** Audiences that the pod's own volumes ask tokens for; CSI drivers may ask for any. */
function podAudiences(pod: StoredPod): ReadonlySet<string> {
  const audiences = new Set<string>([""]);
  for (const volume of pod.spec?.volumes ?? []) {
    if (volume["csi"] !== undefined) audiences.add("*");
    const sources =
      (
        volume["projected"] as
          | {
              readonly sources?: readonly {
                readonly serviceAccountToken?: { readonly audience?: string };
              }[];
            }
          | undefined
      )?.sources ?? [];
    for (const { serviceAccountToken } of sources) {
      if (serviceAccountToken !== undefined) audiences.add(serviceAccountToken.audience ?? "");
    }
  }
  return audiences;
}

async function findPod(
  store: Pick<ObjectStore, "get" | "peek">,
  namespace: string,
  name: string,
): Promise<StoredPod | undefined> {
  const cached = store.peek<StoredPod>(resourceIds.pods, namespace, name);
  if (cached !== undefined) return cached;
  try {
    return await store.get<StoredPod>(resourceIds.pods, namespace, name);
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

import { parseFieldSelector, type KubeObject } from "@wherry/machinery";
import type { AuthorizationAttributes, AuthorizationDecision } from "../chain.ts";
import type { ObjectStore } from "../object-store.ts";
import type { NodeReferences } from "./node-references.ts";
import { ruleAllows, type PolicyRule } from "./policy-rule.ts";
import { resourceIds } from "./resource-ids.ts";
import { nodeFromUser } from "./well-known-users.ts";

/**
 * What a node agent may do, whatever RBAC says: its own Node, lease and pods, and of other objects only those that its pods refer to.
 * What a request writes is checked further by the NodeRestriction admission plugin.
 */
export function createNodeAuthorizer(
  store: Pick<ObjectStore, "peek" | "peekAll">,
  references: NodeReferences,
): { authorize(attributes: AuthorizationAttributes): AuthorizationDecision } {
  return {
    authorize(attributes) {
      const node = nodeFromUser(attributes.user);
      if (node === undefined) return noOpinion("");
      const refusal = attributes.isResourceRequest
        ? refusalOf(node, attributes, store, references)
        : generalRefusal(attributes);
      return refusal === undefined ? { decision: "allow", reason: "" } : noOpinion(refusal);
    },
  };
}

function noOpinion(reason: string): AuthorizationDecision {
  return { decision: "noOpinion", reason };
}

/** undefined = allowed. */
function refusalOf(
  node: string,
  attributes: AuthorizationAttributes,
  store: Pick<ObjectStore, "peek" | "peekAll">,
  references: NodeReferences,
): string | undefined {
  const { verb, namespace, name, subresource } = attributes;
  const related = (yes: boolean): string | undefined =>
    yes ? undefined : `no relationship found between node '${node}' and this object`;
  const onlyGet = (): string | undefined =>
    verb !== "get"
      ? "can only get individual resources of this type"
      : subresource !== ""
        ? "cannot get subresource"
        : name === ""
          ? "No Object name found"
          : undefined;

  switch (
    attributes.apiGroup === ""
      ? attributes.resource
      : `${attributes.resource}.${attributes.apiGroup}`
  ) {
    case "secrets":
    case "configmaps":
      if (!["get", "list", "watch"].includes(verb)) return "can only read resources of this type";
      if (subresource !== "") return "cannot read subresource";
      if (namespace === "") return "can only read namespaced object of this type";
      if (name === "") return "No Object name found";
      return related(
        references.refersTo(
          node,
          attributes.resource as "secrets" | "configmaps",
          namespace,
          name,
        ) ||
          (attributes.resource === "secrets" &&
            secretOfVolume(node, namespace, name, store, references)),
      );
    case "persistentvolumeclaims":
      if (subresource === "status") {
        if (verb !== "update" && verb !== "patch") return "can only get/update/patch this type";
        return related(references.refersTo(node, "persistentvolumeclaims", namespace, name));
      }
      return (
        onlyGet() ?? related(references.refersTo(node, "persistentvolumeclaims", namespace, name))
      );
    case "persistentvolumes":
      return (
        onlyGet() ??
        related(
          claimOf(store.peek<Volume>(resourceIds.persistentVolumes, "", name), node, references),
        )
      );
    case "resourceclaims.resource.k8s.io":
      return onlyGet() ?? related(references.refersTo(node, "resourceclaims", namespace, name));
    case "volumeattachments.storage.k8s.io":
      return (
        onlyGet() ??
        related(
          store.peek<Attachment>(resourceIds.volumeAttachments, "", name)?.spec?.nodeName === node,
        )
      );
    case "serviceaccounts":
      if (verb !== "create" || name === "")
        return "can only create tokens for individual service accounts";
      if (subresource !== "token") return "can only create token subresource of serviceaccount";
      return related(references.refersTo(node, "serviceaccounts", namespace, name));
    case "leases.coordination.k8s.io":
      if (!["get", "create", "update", "patch", "delete"].includes(verb))
        return "can only get, create, update, patch, or delete a node lease";
      if (namespace !== "kube-node-lease")
        return 'can only access leases in the "kube-node-lease" system namespace';
      return verb === "create" || name === node
        ? undefined
        : "can only access node lease with the same name as the requesting node";
    case "csinodes.storage.k8s.io":
      if (!["get", "create", "update", "patch", "delete"].includes(verb))
        return "can only get, create, update, patch, or delete a CSINode";
      if (subresource !== "") return "cannot authorize CSINode subresources";
      return verb === "create" || name === node
        ? undefined
        : "can only access CSINode with the same name as the requesting node";
    case "nodes":
      return nodeRefusal(node, attributes);
    case "pods":
      return podRefusal(node, attributes, references);
    default:
      return generalRefusal(attributes);
  }
}

function nodeRefusal(
  node: string,
  { verb, name, subresource }: AuthorizationAttributes,
): string | undefined {
  if (subresource === "status")
    return verb === "update" || verb === "patch"
      ? undefined
      : "can only update/patch status of this type";
  if (subresource !== "") return "cannot authorize Node subresources";
  if (["create", "update", "patch"].includes(verb)) return undefined;
  if (!["get", "list", "watch"].includes(verb))
    return "can only create, get, list, watch, update or patch this type";
  return name === node
    ? undefined
    : `node '${node}' cannot read '${name}', only its own Node object`;
}

function podRefusal(
  node: string,
  attributes: AuthorizationAttributes,
  references: NodeReferences,
): string | undefined {
  const { verb, namespace, name, subresource } = attributes;
  switch (subresource) {
    case "status":
      return verb === "update" || verb === "patch"
        ? undefined
        : "can only update/patch status of this type";
    case "eviction":
      return verb === "create" ? undefined : "can only create this subresource";
    case "":
      break;
    default:
      return "cannot authorize this subresource";
  }
  switch (verb) {
    case "create":
    case "delete":
      return undefined;
    case "get":
      return references.refersTo(node, "pods", namespace, name)
        ? undefined
        : `no relationship found between node '${node}' and this object`;
    case "list":
    case "watch":
      return selectsNode(attributes.fieldSelector, node)
        ? undefined
        : "can only list/watch pods with spec.nodeName field selector";
    default:
      return "can only get, list, watch, create or delete this type";
  }
}

function selectsNode(selector: string | undefined, node: string): boolean {
  if (selector === undefined || selector === "") return false;
  try {
    return parseFieldSelector(selector).requirements.some(
      (requirement) =>
        requirement.field === "spec.nodeName" &&
        requirement.operator !== "!=" &&
        requirement.value === node,
    );
  } catch {
    return false;
  }
}

interface Volume extends KubeObject {
  readonly spec?: Readonly<Record<string, unknown>> & {
    readonly claimRef?: { readonly namespace?: string; readonly name?: string };
  };
}

interface Attachment extends KubeObject {
  readonly spec?: { readonly nodeName?: string };
}

function claimOf(volume: Volume | undefined, node: string, references: NodeReferences): boolean {
  const claim = volume?.spec?.claimRef;
  return (
    claim?.name !== undefined &&
    references.refersTo(node, "persistentvolumeclaims", claim.namespace ?? "", claim.name)
  );
}

/** Secrets that a volume needs for mounting are readable on the nodes that use the volume. */
function secretOfVolume(
  node: string,
  namespace: string,
  name: string,
  store: Pick<ObjectStore, "peekAll">,
  references: NodeReferences,
): boolean {
  return store
    .peekAll<Volume>(resourceIds.persistentVolumes)
    .some(
      (volume) =>
        claimOf(volume, node, references) && volumeSecrets(volume).has(`${namespace}/${name}`),
    );
}

function volumeSecrets(volume: Volume): ReadonlySet<string> {
  const found = new Set<string>();
  for (const source of Object.values(volume.spec ?? {})) {
    if (typeof source !== "object" || source === null) continue;
    for (const [key, value] of Object.entries(source)) {
      if (!/secretref$/i.test(key) || typeof value !== "object" || value === null) continue;
      const { name, namespace } = value as { readonly name?: string; readonly namespace?: string };
      found.add(`${namespace ?? volume.spec?.claimRef?.namespace ?? ""}/${name ?? ""}`);
    }
  }
  return found;
}

const read = ["get", "list", "watch"];

/** The part of upstream's ClusterRole system:node that is the same for all nodes. */
const nodeRules: readonly PolicyRule[] = [
  { apiGroups: ["authentication.k8s.io"], resources: ["tokenreviews"], verbs: ["create"] },
  {
    apiGroups: ["authorization.k8s.io"],
    resources: ["localsubjectaccessreviews", "subjectaccessreviews"],
    verbs: ["create"],
  },
  { apiGroups: [""], resources: ["services"], verbs: read },
  { apiGroups: ["", "events.k8s.io"], resources: ["events"], verbs: ["create", "patch", "update"] },
  { apiGroups: [""], resources: ["endpoints"], verbs: ["get"] },
  {
    apiGroups: ["certificates.k8s.io"],
    resources: ["certificatesigningrequests"],
    verbs: ["create", ...read],
  },
  { apiGroups: ["storage.k8s.io"], resources: ["csidrivers"], verbs: read },
  { apiGroups: ["node.k8s.io"], resources: ["runtimeclasses"], verbs: read },
];

function generalRefusal(attributes: AuthorizationAttributes): string | undefined {
  return nodeRules.some((rule) => ruleAllows(rule, attributes)) ? undefined : "";
}

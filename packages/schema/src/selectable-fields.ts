import { listAt, numberAt, textAt, valueAt, type Tree } from "./tree.ts";

type Fields = Readonly<Record<string, string>>;

/** Field labels of a built-in kind beyond metadata.name and metadata.namespace, with their values. */
const kinds: Readonly<Record<string, (object: Tree) => Fields>> = {
  "v1/Pod": (pod) => ({
    "spec.nodeName": textAt(pod, "spec", "nodeName"),
    "spec.restartPolicy": textAt(pod, "spec", "restartPolicy"),
    "spec.schedulerName": textAt(pod, "spec", "schedulerName"),
    "spec.serviceAccountName": textAt(pod, "spec", "serviceAccountName"),
    "spec.hostNetwork": String(valueAt(pod, "spec", "hostNetwork") === true),
    "status.phase": textAt(pod, "status", "phase"),
    "status.podIP":
      textAt(listAt(pod, "status", "podIPs")[0], "ip") || textAt(pod, "status", "podIP"),
    "status.nominatedNodeName": textAt(pod, "status", "nominatedNodeName"),
  }),
  "v1/Event": (event) => ({
    ...referenceFields(event, "involvedObject", "involvedObject"),
    reason: textAt(event, "reason"),
    reportingComponent: textAt(event, "reportingComponent"),
    source: textAt(event, "source", "component") || textAt(event, "reportingComponent"),
    type: textAt(event, "type"),
  }),
  "events.k8s.io/v1/Event": (event) => ({
    ...referenceFields(event, "regarding", "regarding"),
    reason: textAt(event, "reason"),
    reportingController: textAt(event, "reportingController"),
    type: textAt(event, "type"),
  }),
  "v1/Node": (node) => ({
    "spec.unschedulable": String(valueAt(node, "spec", "unschedulable") === true),
  }),
  "v1/Namespace": (namespace) => ({ "status.phase": textAt(namespace, "status", "phase") }),
  "v1/Secret": (secret) => ({ type: textAt(secret, "type") }),
  "v1/ReplicationController": replicaFields,
  "apps/v1/ReplicaSet": replicaFields,
  "v1/Service": (service) => ({
    "spec.clusterIP": textAt(service, "spec", "clusterIP"),
    "spec.type": textAt(service, "spec", "type"),
  }),
  "batch/v1/Job": (job) => ({
    "status.successful": String(numberAt(job, "status", "succeeded") ?? 0),
  }),
  "certificates.k8s.io/v1/CertificateSigningRequest": (request) => ({
    "spec.signerName": textAt(request, "spec", "signerName"),
  }),
  "resource.k8s.io/v1/ResourceSlice": (slice) => ({
    "spec.nodeName": textAt(slice, "spec", "nodeName"),
    "spec.driver": textAt(slice, "spec", "driver"),
  }),
};

/** The function of a kind; metadata.name and metadata.namespace come from the object like the others. */
export function selectableFieldsOf(
  apiVersion: string,
  kind: string,
  namespaced: boolean,
): (object: Tree) => Fields {
  const own = kinds[`${apiVersion}/${kind}`];
  return (object) => {
    const fields: Record<string, string> = { "metadata.name": textAt(object, "metadata", "name") };
    if (namespaced) fields["metadata.namespace"] = textAt(object, "metadata", "namespace");
    return own === undefined ? fields : Object.assign(fields, own(object));
  };
}

function referenceFields(event: Tree, field: string, label: string): Fields {
  const fields: Record<string, string> = {};
  for (const part of [
    "kind",
    "namespace",
    "name",
    "uid",
    "apiVersion",
    "resourceVersion",
    "fieldPath",
  ]) {
    fields[`${label}.${part}`] = textAt(event, field, part);
  }
  return fields;
}

function replicaFields(object: Tree): Fields {
  return { "status.replicas": String(numberAt(object, "status", "replicas") ?? 0) };
}

import type { KubeObject } from "@wherry/machinery";
import type { AdmissionRequest } from "../chain.ts";

export interface Toleration {
  key?: string;
  operator?: string;
  value?: string;
  effect?: string;
  tolerationSeconds?: number;
}

export interface VolumeMountDraft {
  name: string;
  readOnly?: boolean;
  mountPath: string;
}

export interface ContainerDraft {
  name?: string;
  volumeMounts?: VolumeMountDraft[];
  resources?: ResourceRequirements;
}

export interface ResourceRequirements {
  requests?: Readonly<Record<string, string>>;
  limits?: Readonly<Record<string, string>>;
}

/** The fields of a pod's spec that admission reads and sets. */
export interface PodSpecDraft {
  nodeName?: string;
  serviceAccountName?: string;
  serviceAccount?: string;
  automountServiceAccountToken?: boolean;
  imagePullSecrets?: { name?: string }[];
  containers?: ContainerDraft[];
  initContainers?: ContainerDraft[];
  volumes?: ({ name: string } & Record<string, unknown>)[];
  tolerations?: Toleration[];
  priority?: number;
  priorityClassName?: string;
  preemptionPolicy?: string;
  overhead?: Readonly<Record<string, string>>;
}

export interface StoredPod extends KubeObject {
  readonly spec?: Readonly<PodSpecDraft>;
}

export const mirrorAnnotation = "kubernetes.io/config.mirror";

/** The spec of the pod itself that a request creates or updates; undefined when it is about something else. */
export function podSpecDraft(request: AdmissionRequest): PodSpecDraft | undefined {
  if (!isResource(request, "", "pods") || request.subresource !== "" || request.draft === undefined)
    return undefined;
  request.draft["spec"] ??= {};
  return request.draft["spec"] as PodSpecDraft;
}

export function isResource(request: AdmissionRequest, group: string, resource: string): boolean {
  return request.definition.group === group && request.definition.resource === resource;
}

export function annotationsOf(request: AdmissionRequest): Readonly<Record<string, string>> {
  return (request.draft?.metadata["annotations"] ?? {}) as Readonly<Record<string, string>>;
}

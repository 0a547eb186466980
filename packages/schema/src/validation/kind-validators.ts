import type { StatusCause } from "@wherry/machinery";
import type { Tree } from "../tree.ts";
import {
  validateConfigMap,
  validateConfigMapUpdate,
  validateEvent,
  validateLimitRange,
  validateNamespace,
  validateNewEvent,
  validateNode,
  validateNodeUpdate,
  validateResourceQuota,
  validateSecret,
  validateSecretUpdate,
} from "./core.ts";
import {
  validateApiService,
  validateAutoscaler,
  validateClusterRole,
  validateClusterRoleBinding,
  validateClusterRoleBindingUpdate,
  validateCustomResourceDefinition,
  validateDisruptionBudget,
  validateIngressClass,
  validateLease,
  validatePriorityClass,
  validatePriorityClassUpdate,
  validateRole,
  validateRoleBinding,
  validateRoleBindingUpdate,
  validateRuntimeClass,
  validateSigningRequest,
  validateWebhooks,
} from "./extensions.ts";
import { validateCronJob, validateJob, validateJobUpdate } from "./jobs.ts";
import {
  validateEndpoints,
  validateEndpointSlice,
  validateIngress,
  validateNetworkPolicy,
  validateService,
  validateServiceUpdate,
} from "./network.ts";
import { validatePod, validatePodUpdate } from "./pod.ts";
import {
  validateCsiNode,
  validateCsiStorageCapacity,
  validatePersistentVolume,
  validatePersistentVolumeClaim,
  validatePersistentVolumeClaimUpdate,
  validatePersistentVolumeUpdate,
  validateStorageClass,
  validateStorageClassUpdate,
  validateVolumeAttachment,
} from "./storage.ts";
import {
  validateDaemonSet,
  validateDaemonSetUpdate,
  validateDeployment,
  validateDeploymentUpdate,
  validatePodTemplateObject,
  validateReplicaSet,
  validateReplicaSetUpdate,
  validateReplicationController,
  validateStatefulSet,
  validateStatefulSetUpdate,
} from "./workloads.ts";

/** What is wrong with an object of a kind beyond its metadata; `update` is asked instead on a change, and `create` where there is none. */
export interface KindValidator {
  readonly create: (object: Tree) => readonly StatusCause[];
  readonly update?: (object: Tree, old: Tree) => readonly StatusCause[];
}

const kinds: Readonly<Record<string, KindValidator>> = {
  "v1/Pod": { create: validatePod, update: validatePodUpdate },
  "v1/PodTemplate": { create: validatePodTemplateObject },
  "v1/ReplicationController": { create: validateReplicationController },
  "v1/Service": { create: validateService, update: validateServiceUpdate },
  "v1/Endpoints": { create: validateEndpoints },
  "v1/ConfigMap": { create: validateConfigMap, update: validateConfigMapUpdate },
  "v1/Secret": { create: validateSecret, update: validateSecretUpdate },
  "v1/Namespace": { create: validateNamespace },
  "v1/Node": { create: validateNode, update: validateNodeUpdate },
  "v1/ResourceQuota": { create: validateResourceQuota },
  "v1/LimitRange": { create: validateLimitRange },
  "v1/Event": { create: validateEvent },
  "events.k8s.io/v1/Event": { create: validateNewEvent },
  "v1/PersistentVolume": {
    create: validatePersistentVolume,
    update: validatePersistentVolumeUpdate,
  },
  "v1/PersistentVolumeClaim": {
    create: validatePersistentVolumeClaim,
    update: validatePersistentVolumeClaimUpdate,
  },
  "apps/v1/Deployment": { create: validateDeployment, update: validateDeploymentUpdate },
  "apps/v1/ReplicaSet": { create: validateReplicaSet, update: validateReplicaSetUpdate },
  "apps/v1/DaemonSet": { create: validateDaemonSet, update: validateDaemonSetUpdate },
  "apps/v1/StatefulSet": { create: validateStatefulSet, update: validateStatefulSetUpdate },
  "batch/v1/Job": { create: validateJob, update: validateJobUpdate },
  "batch/v1/CronJob": { create: validateCronJob },
  "networking.k8s.io/v1/Ingress": { create: validateIngress },
  "networking.k8s.io/v1/IngressClass": { create: validateIngressClass },
  "networking.k8s.io/v1/NetworkPolicy": { create: validateNetworkPolicy },
  "discovery.k8s.io/v1/EndpointSlice": { create: validateEndpointSlice },
  "storage.k8s.io/v1/StorageClass": {
    create: validateStorageClass,
    update: validateStorageClassUpdate,
  },
  "storage.k8s.io/v1/CSINode": { create: validateCsiNode },
  "storage.k8s.io/v1/CSIStorageCapacity": { create: validateCsiStorageCapacity },
  "storage.k8s.io/v1/VolumeAttachment": { create: validateVolumeAttachment },
  "rbac.authorization.k8s.io/v1/Role": { create: validateRole },
  "rbac.authorization.k8s.io/v1/ClusterRole": { create: validateClusterRole },
  "rbac.authorization.k8s.io/v1/RoleBinding": {
    create: validateRoleBinding,
    update: validateRoleBindingUpdate,
  },
  "rbac.authorization.k8s.io/v1/ClusterRoleBinding": {
    create: validateClusterRoleBinding,
    update: validateClusterRoleBindingUpdate,
  },
  "policy/v1/PodDisruptionBudget": { create: validateDisruptionBudget },
  "autoscaling/v2/HorizontalPodAutoscaler": { create: validateAutoscaler },
  "scheduling.k8s.io/v1/PriorityClass": {
    create: validatePriorityClass,
    update: validatePriorityClassUpdate,
  },
  "node.k8s.io/v1/RuntimeClass": { create: validateRuntimeClass },
  "coordination.k8s.io/v1/Lease": { create: validateLease },
  "certificates.k8s.io/v1/CertificateSigningRequest": { create: validateSigningRequest },
  "apiregistration.k8s.io/v1/APIService": { create: validateApiService },
  "apiextensions.k8s.io/v1/CustomResourceDefinition": { create: validateCustomResourceDefinition },
  "admissionregistration.k8s.io/v1/ValidatingWebhookConfiguration": { create: validateWebhooks },
  "admissionregistration.k8s.io/v1/MutatingWebhookConfiguration": { create: validateWebhooks },
};

export function validatorOf(apiVersion: string, kind: string): KindValidator | undefined {
  return kinds[`${apiVersion}/${kind}`];
}

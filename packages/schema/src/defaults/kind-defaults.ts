import type { Tree } from "../tree.ts";
import { defaultAutoscalerV1, defaultAutoscalerV2 } from "./autoscaling-defaults.ts";
import {
  defaultLimitRange,
  defaultNamespace,
  defaultNode,
  defaultResourceQuota,
  defaultSecret,
} from "./core-defaults.ts";
import {
  defaultAdmissionPolicy,
  defaultAdmissionPolicyBinding,
  defaultApiService,
  defaultCustomResourceDefinition,
  defaultFlowSchema,
  defaultPriorityClass,
  defaultPriorityLevel,
  defaultResourceClaim,
  defaultResourceClaimTemplate,
  defaultRoleBinding,
  defaultScale,
  defaultTokenRequest,
  defaultWebhookConfiguration,
} from "./extension-defaults.ts";
import {
  defaultEndpoints,
  defaultEndpointSlice,
  defaultIngressClass,
  defaultNetworkPolicy,
  defaultService,
} from "./network-defaults.ts";
import { defaultPod } from "./pod-defaults.ts";
import {
  defaultCsiDriver,
  defaultPersistentVolume,
  defaultPersistentVolumeClaim,
  defaultStorageClass,
} from "./storage-defaults.ts";
import {
  defaultCronJob,
  defaultDaemonSet,
  defaultDeployment,
  defaultJob,
  defaultPodTemplate,
  defaultReplicaSet,
  defaultReplicationController,
  defaultStatefulSet,
} from "./workload-defaults.ts";

/** Fills in a kind's defaults in place; doing it twice changes nothing more. */
export type DefaultKind = (object: Tree) => void;

const kinds: Readonly<Record<string, DefaultKind>> = {
  "v1/Pod": defaultPod,
  "v1/PodTemplate": defaultPodTemplate,
  "v1/ReplicationController": defaultReplicationController,
  "v1/Service": defaultService,
  "v1/Endpoints": defaultEndpoints,
  "v1/Namespace": defaultNamespace,
  "v1/Node": defaultNode,
  "v1/Secret": defaultSecret,
  "v1/LimitRange": defaultLimitRange,
  "v1/ResourceQuota": defaultResourceQuota,
  "v1/PersistentVolume": defaultPersistentVolume,
  "v1/PersistentVolumeClaim": defaultPersistentVolumeClaim,
  "apps/v1/Deployment": defaultDeployment,
  "apps/v1/ReplicaSet": defaultReplicaSet,
  "apps/v1/StatefulSet": defaultStatefulSet,
  "apps/v1/DaemonSet": defaultDaemonSet,
  "batch/v1/Job": defaultJob,
  "batch/v1/CronJob": defaultCronJob,
  "autoscaling/v1/HorizontalPodAutoscaler": defaultAutoscalerV1,
  "autoscaling/v2/HorizontalPodAutoscaler": defaultAutoscalerV2,
  "autoscaling/v1/Scale": defaultScale,
  "authentication.k8s.io/v1/TokenRequest": defaultTokenRequest,
  "networking.k8s.io/v1/NetworkPolicy": defaultNetworkPolicy,
  "networking.k8s.io/v1/IngressClass": defaultIngressClass,
  "discovery.k8s.io/v1/EndpointSlice": defaultEndpointSlice,
  "storage.k8s.io/v1/StorageClass": defaultStorageClass,
  "storage.k8s.io/v1/CSIDriver": defaultCsiDriver,
  "rbac.authorization.k8s.io/v1/RoleBinding": defaultRoleBinding,
  "rbac.authorization.k8s.io/v1/ClusterRoleBinding": defaultRoleBinding,
  "scheduling.k8s.io/v1/PriorityClass": defaultPriorityClass,
  "admissionregistration.k8s.io/v1/ValidatingWebhookConfiguration": defaultWebhookConfiguration,
  "admissionregistration.k8s.io/v1/MutatingWebhookConfiguration": defaultWebhookConfiguration,
  "admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy": defaultAdmissionPolicy,
  "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy": defaultAdmissionPolicy,
  "admissionregistration.k8s.io/v1/ValidatingAdmissionPolicyBinding": defaultAdmissionPolicyBinding,
  "admissionregistration.k8s.io/v1/MutatingAdmissionPolicyBinding": defaultAdmissionPolicyBinding,
  "flowcontrol.apiserver.k8s.io/v1/FlowSchema": defaultFlowSchema,
  "flowcontrol.apiserver.k8s.io/v1/PriorityLevelConfiguration": defaultPriorityLevel,
  "apiextensions.k8s.io/v1/CustomResourceDefinition": defaultCustomResourceDefinition,
  "apiregistration.k8s.io/v1/APIService": defaultApiService,
  "resource.k8s.io/v1/ResourceClaim": defaultResourceClaim,
  "resource.k8s.io/v1/ResourceClaimTemplate": defaultResourceClaimTemplate,
};

/** Defaulting of a built-in kind; undefined for kinds without defaults. */
export function defaultsOf(apiVersion: string, kind: string): DefaultKind | undefined {
  return kinds[`${apiVersion}/${kind}`];
}

import {
  limitRangeRules,
  namespaceRules,
  nodeRules,
  persistentVolumeClaimRules,
  persistentVolumeRules,
  podRules,
  secretRules,
  serviceRules,
} from "./core-rules.ts";
import { allMetadata, type KindRules } from "./create-strategy.ts";
import {
  apiServiceRules,
  certificateSigningRequestRules,
  csiDriverRules,
  customResourceDefinitionRules,
  endpointSliceRules,
  resourceSliceRules,
} from "./extension-rules.ts";
import { daemonSetRules, deploymentRules, generationRules, jobRules } from "./workload-rules.ts";

const plain: KindRules = {};
const createsOnUpdate: KindRules = { allowCreateOnUpdate: true };
const needsVersion: KindRules = { allowUnconditionalUpdate: false };
const configuration: KindRules = { hasGeneration: true, allowUnconditionalUpdate: false };
const flowControl: KindRules = { hasGeneration: true, statusKeepsMetadata: allMetadata };

const kinds: Readonly<Record<string, KindRules>> = {
  "/Pod": podRules,
  "/PodTemplate": { hasGeneration: true },
  "/Namespace": namespaceRules,
  "/Node": nodeRules,
  "/Service": serviceRules,
  "/Secret": secretRules,
  "/Endpoints": createsOnUpdate,
  "/Event": createsOnUpdate,
  "/LimitRange": limitRangeRules,
  "/PersistentVolume": persistentVolumeRules,
  "/PersistentVolumeClaim": persistentVolumeClaimRules,
  "/ReplicationController": generationRules,
  "events.k8s.io/Event": createsOnUpdate,
  "coordination.k8s.io/Lease": { allowCreateOnUpdate: true, allowUnconditionalUpdate: false },
  "rbac.authorization.k8s.io/Role": createsOnUpdate,
  "rbac.authorization.k8s.io/RoleBinding": createsOnUpdate,
  "rbac.authorization.k8s.io/ClusterRole": createsOnUpdate,
  "rbac.authorization.k8s.io/ClusterRoleBinding": createsOnUpdate,
  "apps/Deployment": deploymentRules,
  "apps/ReplicaSet": generationRules,
  "apps/StatefulSet": generationRules,
  "apps/DaemonSet": daemonSetRules,
  "batch/Job": jobRules,
  "batch/CronJob": generationRules,
  "networking.k8s.io/Ingress": generationRules,
  "networking.k8s.io/IngressClass": generationRules,
  "networking.k8s.io/NetworkPolicy": generationRules,
  "policy/PodDisruptionBudget": configuration,
  "discovery.k8s.io/EndpointSlice": endpointSliceRules,
  "certificates.k8s.io/CertificateSigningRequest": certificateSigningRequestRules,
  "apiextensions.k8s.io/CustomResourceDefinition": customResourceDefinitionRules,
  "apiregistration.k8s.io/APIService": apiServiceRules,
  "storage.k8s.io/CSIDriver": csiDriverRules,
  "storage.k8s.io/CSINode": needsVersion,
  "storage.k8s.io/CSIStorageCapacity": needsVersion,
  "storage.k8s.io/VolumeAttachment": {
    allowUnconditionalUpdate: false,
    statusKeepsMetadata: allMetadata,
  },
  "node.k8s.io/RuntimeClass": { allowCreateOnUpdate: true, allowUnconditionalUpdate: false },
  "scheduling.k8s.io/PriorityClass": generationRules,
  "admissionregistration.k8s.io/ValidatingWebhookConfiguration": configuration,
  "admissionregistration.k8s.io/MutatingWebhookConfiguration": configuration,
  "admissionregistration.k8s.io/ValidatingAdmissionPolicy": {
    ...configuration,
    statusKeepsMetadata: allMetadata,
  },
  "admissionregistration.k8s.io/ValidatingAdmissionPolicyBinding": configuration,
  "admissionregistration.k8s.io/MutatingAdmissionPolicy": configuration,
  "admissionregistration.k8s.io/MutatingAdmissionPolicyBinding": configuration,
  "flowcontrol.apiserver.k8s.io/FlowSchema": flowControl,
  "flowcontrol.apiserver.k8s.io/PriorityLevelConfiguration": flowControl,
  "resource.k8s.io/DeviceClass": generationRules,
  "resource.k8s.io/ResourceSlice": resourceSliceRules,
};

export function rulesOf(group: string, kind: string): KindRules {
  return kinds[`${group}/${kind}`] ?? plain;
}

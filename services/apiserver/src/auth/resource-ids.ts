import type { ResourceId } from "../object-store.ts";

const rbac = "rbac.authorization.k8s.io";

/** Stored resources that the API server itself reads to authenticate, authorise and admit. */
export const resourceIds = {
  clusterRoleBindings: { group: rbac, resource: "clusterrolebindings" },
  clusterRoles: { group: rbac, resource: "clusterroles" },
  configMaps: { group: "", resource: "configmaps" },
  csiDrivers: { group: "storage.k8s.io", resource: "csidrivers" },
  endpoints: { group: "", resource: "endpoints" },
  endpointSlices: { group: "discovery.k8s.io", resource: "endpointslices" },
  namespaces: { group: "", resource: "namespaces" },
  nodes: { group: "", resource: "nodes" },
  persistentVolumeClaims: { group: "", resource: "persistentvolumeclaims" },
  persistentVolumes: { group: "", resource: "persistentvolumes" },
  podDisruptionBudgets: { group: "policy", resource: "poddisruptionbudgets" },
  pods: { group: "", resource: "pods" },
  priorityClasses: { group: "scheduling.k8s.io", resource: "priorityclasses" },
  roleBindings: { group: rbac, resource: "rolebindings" },
  roles: { group: rbac, resource: "roles" },
  secrets: { group: "", resource: "secrets" },
  serviceAccounts: { group: "", resource: "serviceaccounts" },
  serviceCidrs: { group: "networking.k8s.io", resource: "servicecidrs" },
  services: { group: "", resource: "services" },
  storageClasses: { group: "storage.k8s.io", resource: "storageclasses" },
  volumeAttachments: { group: "storage.k8s.io", resource: "volumeattachments" },
} as const satisfies Record<string, ResourceId>;

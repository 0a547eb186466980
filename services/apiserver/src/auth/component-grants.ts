import type { BuiltInGrant } from "./rbac-authorizer.ts";

const user = (name: string) => ({ kind: "User", name }) as const;
const group = (name: string) => ({ kind: "Group", name }) as const;

/**
 * What the cluster's own components may do beyond upstream's default bindings. All controllers run under one identity here, where upstream gives
 * each its own service account; the node agent is its node's service proxy too; and the supervisor hands out certificates.
 */
export const componentGrants: readonly BuiltInGrant[] = [
  { subject: user("system:kube-controller-manager"), clusterRole: "system:controller:*" },
  { subject: group("system:nodes"), clusterRole: "system:node-proxier" },
  { subject: group("system:nodes"), clusterRole: "system:wherry:node-network" },
  { subject: user("system:k3s-controller"), clusterRole: "system:wherry:network-policy" },
  { subject: user("system:k3s-supervisor"), clusterRole: "system:wherry:supervisor" },
];

import type { BuiltInGrant } from "./rbac-authorizer.ts";

const user = (name: string) => ({ kind: "User", name }) as const;
const group = (name: string) => ({ kind: "Group", name }) as const;

/**
 * What Wherry's components may do beyond upstream's default bindings. All controllers run under one identity here, where upstream gives
 * each its own service account; and the node agent is its node's service proxy too.
 */
export const componentGrants: readonly BuiltInGrant[] = [
  { subject: user("system:kube-controller-manager"), clusterRole: "system:controller:*" },
  { subject: group("system:nodes"), clusterRole: "system:node-proxier" },
  { subject: user("system:wherry-supervisor"), clusterRole: "system:wherry:supervisor" },
  { subject: user("system:wherry-controller"), clusterRole: "cluster-admin" },
];

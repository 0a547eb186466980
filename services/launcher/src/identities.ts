import type { UserInfo } from "@wherry/machinery";

/** The in-process identities: one per client, none of them an administrator. */
const user = (name: string, ...groups: readonly string[]): UserInfo => ({
  name,
  groups: [...groups, "system:authenticated"],
});

export const identities = {
  scheduler: user("system:kube-scheduler"),
  controllerManager: user("system:kube-controller-manager"),
  supervisor: user("system:k3s-supervisor"),
  node: (nodeName: string): UserInfo => user(`system:node:${nodeName}`, "system:nodes"),
};

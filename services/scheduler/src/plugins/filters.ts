import {
  findUntoleratedTaint,
  matchesNodeSelection,
  podRequests,
  toleratesTaint,
} from "@wherry/machinery";
import { hostPortsOf } from "../node-info.ts";
import { unfit, type FilterPlugin } from "../plugin.ts";

const UNSCHEDULABLE_TAINT = { key: "node.kubernetes.io/unschedulable", effect: "NoSchedule" };

export const nodeUnschedulable: FilterPlugin = {
  name: "NodeUnschedulable",
  filter(pod, { node }) {
    if (node.spec.unschedulable !== true) return undefined;
    const tolerated = (pod.spec.tolerations ?? []).some((toleration) =>
      toleratesTaint(toleration, UNSCHEDULABLE_TAINT),
    );
    return tolerated ? undefined : unfit("node(s) were unschedulable", true);
  },
};

export const nodeName: FilterPlugin = {
  name: "NodeName",
  filter(pod, { node }) {
    const wanted = pod.spec.nodeName ?? "";
    return wanted === "" || wanted === node.metadata.name
      ? undefined
      : unfit("node(s) didn't match the requested node name", true);
  },
};

export const taintToleration: FilterPlugin = {
  name: "TaintToleration",
  filter(pod, { node }) {
    const taint = findUntoleratedTaint(node.spec.taints ?? [], pod.spec.tolerations ?? [], [
      "NoSchedule",
      "NoExecute",
    ]);
    return taint === undefined
      ? undefined
      : unfit(`node(s) had untolerated taint {${taint.key}: ${taint.value ?? ""}}`, true);
  },
};

export const nodeAffinity: FilterPlugin = {
  name: "NodeAffinity",
  filter: (pod, { node }) =>
    matchesNodeSelection(pod, node)
      ? undefined
      : unfit("node(s) didn't match Pod's node affinity/selector", true),
};

export const nodePorts: FilterPlugin = {
  name: "NodePorts",
  filter(pod, { hostPorts }) {
    const taken = hostPortsOf(pod).some(({ protocol, ip, port }) => {
      if (ip !== "0.0.0.0")
        return (
          hostPorts.has(`${protocol}/${ip}/${port}`) || hostPorts.has(`${protocol}/0.0.0.0/${port}`)
        );
      return [...hostPorts].some(
        (used) => used.startsWith(`${protocol}/`) && used.endsWith(`/${port}`),
      );
    });
    return taken
      ? unfit("node(s) didn't have free ports for the requested pod ports", false)
      : undefined;
  },
};

export const nodeResourcesFit: FilterPlugin = {
  name: "NodeResourcesFit",
  filter(pod, { pods, allocatable, requested }) {
    const reasons: string[] = [];
    let unresolvable = false;
    if (pods.size + 1 > (allocatable.get("pods") ?? 0)) reasons.push("Too many pods");
    for (const [name, amount] of podRequests(pod)) {
      if (amount === 0) continue;
      const room = allocatable.get(name) ?? 0;
      if (amount + (requested.get(name) ?? 0) <= room) continue;
      reasons.push(`Insufficient ${name}`);
      // More than the node has at all: no victim helps.
      if (amount > room) unresolvable = true;
    }
    return reasons.length === 0 ? undefined : { reasons, unresolvable };
  },
};

/** In upstream's order, cheapest and most telling first. */
export const defaultFilters: readonly FilterPlugin[] = [
  nodeUnschedulable,
  nodeName,
  taintToleration,
  nodeAffinity,
  nodePorts,
  nodeResourcesFit,
];

import { objectKey, type Node, type Pod } from "@wherry/machinery";
import { buildNodeInfo, type NodeInfo } from "./node-info.ts";

/**
 * Nodes with their pods, kept in step by events. A node's figures are built when they are next asked for after a change, so a change costs one node. Assumed
 * pods (placed, not yet confirmed by the API) count like bound ones.
 */
export interface ClusterSnapshot {
  setNode(node: Node): void;
  removeNode(name: string): void;
  /** A pod with a node; moves it if the node changed. Ended pods are removed. */
  setPod(pod: Pod): void;
  removePod(pod: Pod): void;
  nodes(): readonly NodeInfo[];
}

export function createClusterSnapshot(): ClusterSnapshot {
  const nodes = new Map<string, Node>();
  const podsByNode = new Map<string, Map<string, Pod>>();
  const nodeOfPod = new Map<string, string>();
  const built = new Map<string, NodeInfo>();
  let list: readonly NodeInfo[] | undefined;

  const touch = (name: string): void => {
    built.delete(name);
    list = undefined;
  };
  const remove = (pod: Pod): void => {
    const key = objectKey(pod);
    const name = nodeOfPod.get(key);
    if (name === undefined) return;
    nodeOfPod.delete(key);
    const pods = podsByNode.get(name);
    pods?.delete(key);
    if (pods?.size === 0) podsByNode.delete(name);
    touch(name);
  };

  return {
    setNode(node) {
      nodes.set(node.metadata.name ?? "", node);
      touch(node.metadata.name ?? "");
    },
    removeNode(name) {
      nodes.delete(name);
      touch(name);
    },
    setPod(pod) {
      remove(pod);
      const name = pod.spec.nodeName ?? "";
      if (name === "" || hasEnded(pod)) return;
      const pods = podsByNode.get(name) ?? new Map<string, Pod>();
      podsByNode.set(name, pods.set(objectKey(pod), pod));
      nodeOfPod.set(objectKey(pod), name);
      touch(name);
    },
    removePod: remove,
    nodes() {
      list ??= [...nodes].map(([name, node]) => {
        const info = built.get(name) ?? buildNodeInfo(node, podsByNode.get(name) ?? new Map());
        built.set(name, info);
        return info;
      });
      return list;
    },
  };
}

export function hasEnded(pod: Pod): boolean {
  return pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed";
}

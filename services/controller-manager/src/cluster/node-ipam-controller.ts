import { resources } from "@wherry/client";
import { isNotFound, type Node } from "@wherry/machinery";
import { createReconciler, type Controller, type ControllerContext } from "../core/controller.ts";
import { createPodCidrPool } from "./pod-cidr-pool.ts";

export interface NodeIpamConfig {
  /** One network, or an IPv4 and an IPv6 one, parted by a comma. */
  readonly clusterCidr: string;
  /** Bits of a node's block of IPv4; 24 by default. IPv6 blocks have 64. */
  readonly nodeCidrMaskSize?: number;
  /** Kept out of what nodes get, should it lie in the cluster network. */
  readonly serviceCidr?: string;
}

const ipv6MaskBits = 64;
const ipv4MaskBits = 24;

/** Gives every node its block of the cluster network. Blocks that nodes have already are kept, whoever gave them. */
export function createNodeIpamController(
  context: ControllerContext,
  config: NodeIpamConfig,
): Controller {
  const { api, events, log } = context;
  const nodes = context.informers.informer<Node>(resources.nodes);
  const pools = config.clusterCidr
    .split(",")
    .map((text) => text.trim())
    .map((text) =>
      createPodCidrPool(
        text,
        text.includes(":") ? ipv6MaskBits : (config.nodeCidrMaskSize ?? ipv4MaskBits),
      ),
    );
  for (const text of config.serviceCidr?.split(",") ?? [])
    for (const pool of pools) pool.occupy(text.trim());
  /** Blocks by node, and the uid that they were given to. */
  const assigned = new Map<string, { readonly uid: string; readonly cidrs: readonly string[] }>();
  /** Nodes that found no block; they are looked at again when one comes free. */
  const waiting = new Set<string>();

  const adopt = (node: Node): void => {
    const { name = "", uid = "" } = node.metadata;
    const cidrs = cidrsOf(node);
    if (cidrs.length === 0) return;
    const before = assigned.get(name);
    if (before?.uid === uid && before.cidrs.join() === cidrs.join()) return;
    if (before !== undefined) release(before.cidrs);
    for (const cidr of cidrs) {
      if (!pools.some((pool) => pool.occupy(cidr)))
        log.warn({ node: name, cidr }, "the node's pod CIDR lies outside of the cluster CIDR");
    }
    assigned.set(name, { uid, cidrs });
  };

  const release = (cidrs: readonly string[]): void => {
    for (const cidr of cidrs) for (const pool of pools) pool.release(cidr);
    for (const name of waiting) reconciler.enqueue(name);
    waiting.clear();
  };

  const allocate = (node: Node): readonly string[] | undefined => {
    const { name = "", uid = "" } = node.metadata;
    const before = assigned.get(name);
    if (before?.uid === uid) return before.cidrs;
    const cidrs: string[] = [];
    for (const pool of pools) {
      const cidr = pool.allocate();
      if (cidr === undefined) {
        for (const [index, one] of cidrs.entries()) pools[index]?.release(one);
        waiting.add(name);
        log.warn({ node: name, cidr: pool.text }, "no pod CIDR is left for the node");
        events.event(
          node,
          "Normal",
          "CIDRNotAvailable",
          `Node ${name} status is now: CIDRNotAvailable`,
        );
        return undefined;
      }
      cidrs.push(cidr);
    }
    assigned.set(name, { uid, cidrs });
    return cidrs;
  };

  const reconcile = async (name: string): Promise<void> => {
    const node = nodes.store.get(name);
    if (node === undefined || cidrsOf(node).length > 0) return;
    const cidrs = allocate(node);
    const [first] = cidrs ?? [];
    if (cidrs === undefined || first === undefined) return;
    try {
      // The uid makes sure that it is still this node; the server refuses to change a block once set.
      await api.patch(resources.nodes, name, undefined, "merge", {
        metadata: { uid: node.metadata.uid },
        spec: { podCIDR: first, podCIDRs: cidrs },
      });
    } catch (error) {
      if (isNotFound(error)) return;
      events.event(
        node,
        "Normal",
        "CIDRAssignmentFailed",
        `Node ${name} status is now: CIDRAssignmentFailed`,
      );
      throw error;
    }
  };

  const reconciler = createReconciler({ name: "node-ipam", context, reconcile });
  const onNode = (node: Node): void => {
    adopt(node);
    if (cidrsOf(node).length === 0) reconciler.enqueue(node.metadata.name ?? "");
  };
  nodes.subscribe({
    onAdd: onNode,
    onUpdate: onNode,
    onDelete({ metadata: { name = "", uid } }) {
      const before = assigned.get(name);
      waiting.delete(name);
      if (before === undefined || before.uid !== uid) return;
      assigned.delete(name);
      release(before.cidrs);
    },
  });
  return reconciler;
}

function cidrsOf({ spec }: Node): readonly string[] {
  if ((spec.podCIDRs ?? []).length > 0) return spec.podCIDRs ?? [];
  return spec.podCIDR === undefined || spec.podCIDR === "" ? [] : [spec.podCIDR];
}

import {
  cidrsOverlap,
  formatCidr,
  nthSubnet,
  parseCidr,
  subnetCount,
  subnetIndex,
  type Cidr,
} from "@wherry/net";

/** The blocks of one cluster network: which node has which. Blocks are given out in turn, so that a freed one is not taken again at once. */
export interface PodCidrPool {
  readonly text: string;
  /** Marks a block as taken; false when it does not lie in this network. Taking it twice is no error. */
  occupy(block: string): boolean;
  /** The next free block, or undefined when there is none. */
  allocate(): string | undefined;
  release(block: string): void;
}

export function createPodCidrPool(network: string, maskBits: number): PodCidrPool {
  const cidr = parseCidr(network);
  const count = subnetCount(cidr, maskBits);
  const taken = new Set<number>();
  let next = 0;

  /** A block of another size covers several of ours, or a part of one. */
  const indexesOf = (block: Cidr): readonly number[] => {
    if (block.family !== cidr.family || !cidrsOverlap(cidr, block)) return [];
    if (block.prefix >= maskBits) {
      const index = subnetIndex(cidr, { ...block, prefix: maskBits });
      return index === undefined ? [] : [index];
    }
    const first =
      block.prefix <= cidr.prefix ? 0 : (subnetIndex(cidr, { ...block, prefix: maskBits }) ?? 0);
    const length = Math.min(2 ** (maskBits - Math.max(block.prefix, cidr.prefix)), count);
    return Array.from({ length }, (_, offset) => first + offset);
  };

  return {
    text: formatCidr(cidr),
    occupy(block) {
      const indexes = indexesOf(parseCidr(block));
      for (const index of indexes) taken.add(index);
      return indexes.length > 0;
    },
    allocate() {
      for (let step = 0; step < count; step += 1) {
        const index = (next + step) % count;
        if (taken.has(index)) continue;
        taken.add(index);
        next = (index + 1) % count;
        return formatCidr(nthSubnet(cidr, maskBits, index));
      }
      return undefined;
    },
    release(block) {
      for (const index of indexesOf(parseCidr(block))) taken.delete(index);
    },
  };
}

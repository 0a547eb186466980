import { networkInterfaces } from "node:os";
import { blockList, isAddress } from "./address-text.ts";

/** How long the machine's own addresses are taken as known. */
const OWN_ADDRESSES_MS = 5_000;

export interface SourceFilter {
  /** Blocks whose addresses may ask (the node's pods); the machine's own addresses always may. */
  setBlocks(blocks: readonly string[]): void;
  allows(address: string): boolean;
}

/** Lets only the node and its pods ask. */
export function createSourceFilter(now: () => number): SourceFilter {
  let blocks = blockList([]);
  let own = new Set<string>();
  let ownReadMs = Number.NEGATIVE_INFINITY;
  return {
    setBlocks(next) {
      blocks = blockList(next);
    },
    allows(text) {
      if (!isAddress(text)) return false;
      if (blocks.has(text)) return true;
      if (own.has(text)) return true;
      if (now() - ownReadMs < OWN_ADDRESSES_MS) return false;
      ownReadMs = now();
      own = new Set(
        Object.values(networkInterfaces())
          .flat()
          .flatMap((entry) => (entry === undefined ? [] : [entry.address])),
      );
      return own.has(text);
    },
  };
}

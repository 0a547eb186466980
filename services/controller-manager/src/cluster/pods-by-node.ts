import type { IndexFunction } from "@wherry/client";
import type { Pod } from "@wherry/machinery";

/** The index `node` of a pod informer; several controllers share it. */
export const podsByNode = {
  node: ({ spec: { nodeName = "" } }: Pod): readonly string[] =>
    nodeName === "" ? [] : [nodeName],
} satisfies Readonly<Record<string, IndexFunction<Pod>>>;

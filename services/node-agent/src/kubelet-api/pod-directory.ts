import type { Pod } from "@wherry/machinery";

/** The pods of this node, as the kubelet API needs to know them: with their spec and their current status. */
export interface PodDirectory {
  list(): readonly Pod[];
  find(namespace: string, name: string): Pod | undefined;
}

import type { Pod } from "@wherry/machinery";
import type { PodDirectory } from "../kubelet-api/pod-directory.ts";
import type { PodWorker } from "./pod-worker.ts";

/** The workers' pods, each with the status that its worker last made, which may be ahead of the API server's. */
export function createPodDirectory(workers: () => readonly PodWorker[]): PodDirectory {
  const current = (worker: PodWorker): Pod =>
    worker.status === undefined ? worker.pod : { ...worker.pod, status: worker.status };
  return {
    list: () => workers().map(current),
    find(namespace, name) {
      const found = workers().filter(
        (one) => one.pod.metadata.namespace === namespace && one.pod.metadata.name === name,
      );
      // A pod may come back under the same name while its predecessor is still being taken away.
      const worker =
        found.findLast((one) => one.pod.metadata.deletionTimestamp === undefined) ?? found.at(-1);
      return worker === undefined ? undefined : current(worker);
    },
  };
}

import { join } from "node:path";
import type { Pod } from "@wherry/machinery";
import { podUid } from "./pod-types.ts";

/** Where things of one pod lie on the host; the kubelet's layout. */
export function podFolder(kubeletRoot: string, uid: string): string {
  return join(kubeletRoot, "pods", uid);
}

export function volumeFolder(
  kubeletRoot: string,
  uid: string,
  plugin: string,
  volume: string,
): string {
  return join(podFolder(kubeletRoot, uid), "volumes", `kubernetes.io~${plugin}`, volume);
}

export function subPathFolder(kubeletRoot: string, uid: string): string {
  return join(podFolder(kubeletRoot, uid), "volume-subpaths");
}

export function etcHostsPath(kubeletRoot: string, uid: string): string {
  return join(podFolder(kubeletRoot, uid), "etc-hosts");
}

export function containerFolder(kubeletRoot: string, uid: string, container: string): string {
  return join(podFolder(kubeletRoot, uid), "containers", container);
}

/** `<namespace>_<pod>_<uid>` below the pod log root. */
export function podLogFolder(podLogsRoot: string, pod: Pod): string {
  return join(podLogsRoot, `${pod.metadata.namespace}_${pod.metadata.name}_${podUid(pod)}`);
}

/** Relative to the pod's log folder. */
export function containerLogPath(container: string, restartCount: number): string {
  return join(container, `${restartCount}.log`);
}

/** Symlink that log collectors read. Kept within a file name's length, as the kubelet does. */
export function containerLogLink(
  containerLogsRoot: string,
  pod: Pod,
  container: string,
  containerId: string,
): string {
  const name = `${pod.metadata.name}_${pod.metadata.namespace}_${container}-${containerId}`.slice(
    0,
    255 - ".log".length,
  );
  return join(containerLogsRoot, `${name}.log`);
}

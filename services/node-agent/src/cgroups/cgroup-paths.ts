import type { Pod } from "@wherry/machinery";
import { podUid } from "../pods/pod-types.ts";
import { qosClass } from "../pods/qos.ts";
import type { QosClass } from "../pods/qos.ts";

/** The node's pods live below this group; Guaranteed ones directly in it. */
export function kubepodsPath(cgroupRoot: string): string {
  return `${cgroupRoot === "/" ? "" : cgroupRoot}/kubepods`;
}

export function qosCgroupPath(cgroupRoot: string, quality: QosClass): string {
  const base = kubepodsPath(cgroupRoot);
  return quality === "Guaranteed" ? base : `${base}/${quality.toLowerCase()}`;
}

export function podCgroupPath(cgroupRoot: string, pod: Pod): string {
  return `${qosCgroupPath(cgroupRoot, qosClass(pod))}/pod${podUid(pod)}`;
}

import type {
  Container,
  ContainerState,
  ContainerStatus,
  NamespaceMode,
  PodSandbox,
  PodSandboxStatus,
} from "@wherry/cri-api";
import { runtimeAnnotation, runtimeLabel, terminationLogAnnotation } from "./runtime-labels.ts";

/** What the runtime holds of one pod: plain data, newest first. The only thing decisions and status are made from. */
export interface ObservedPod {
  readonly sandboxes: readonly ObservedSandbox[];
  readonly containers: readonly ObservedContainer[];
}

export interface ObservedSandbox {
  readonly id: string;
  readonly attempt: number;
  readonly ready: boolean;
  readonly createdAtMs: number;
  readonly ips: readonly string[];
  readonly network: NamespaceMode;
}

export interface ObservedContainer {
  readonly id: string;
  readonly name: string;
  readonly sandboxId: string;
  readonly state: ContainerState;
  readonly restartCount: number;
  readonly hash: string | undefined;
  readonly image: string;
  readonly imageRef: string;
  readonly createdAtMs: number;
  readonly startedAtMs: number;
  readonly finishedAtMs: number;
  readonly exitCode: number;
  readonly reason: string;
  readonly message: string;
  readonly logPath: string;
  /** Host file of the termination message, when one was mounted. */
  readonly terminationLog: string | undefined;
  readonly terminationMessagePolicy: string;
  readonly pid: number | undefined;
}

export const nothingObserved: ObservedPod = { sandboxes: [], containers: [] };

export function sandboxFrom(sandbox: PodSandbox | PodSandboxStatus): ObservedSandbox {
  return {
    id: sandbox.id,
    attempt: sandbox.metadata.attempt,
    ready: sandbox.state === "READY",
    createdAtMs: millisecondsFrom(sandbox.createdAt),
    ips: "ips" in sandbox ? sandbox.ips : [],
    network: "network" in sandbox ? sandbox.network : "POD",
  };
}

export function containerFrom(status: ContainerStatus, fallback: Container): ObservedContainer {
  const labels = { ...fallback.labels, ...status.labels };
  const annotations = { ...fallback.annotations, ...status.annotations };
  const count = Number(annotations[runtimeAnnotation.restartCount]);
  return {
    id: status.id,
    name: labels[runtimeLabel.containerName] ?? status.metadata.name,
    sandboxId: fallback.podSandboxId,
    state: status.state,
    restartCount: Number.isInteger(count) ? count : status.metadata.attempt,
    hash: annotations[runtimeAnnotation.hash],
    image: status.image,
    imageRef: status.imageRef,
    createdAtMs: millisecondsFrom(status.createdAt),
    startedAtMs: millisecondsFrom(status.startedAt),
    finishedAtMs: millisecondsFrom(status.finishedAt),
    exitCode: status.exitCode,
    reason: status.reason,
    message: status.message,
    logPath: status.logPath,
    terminationLog: annotations[terminationLogAnnotation],
    terminationMessagePolicy: annotations[runtimeAnnotation.terminationMessagePolicy] ?? "",
    pid: status.pid,
  };
}

/** Newest instance of a container, whatever its state. */
export function newestContainer(
  observed: ObservedPod,
  name: string,
): ObservedContainer | undefined {
  return observed.containers.find((one) => one.name === name);
}

export function runningContainers(observed: ObservedPod): readonly ObservedContainer[] {
  return observed.containers.filter((one) => one.state === "RUNNING");
}

/** Newest first; equal creation times are ordered by restart count, so that the order is total. */
export function sortObserved(observed: ObservedPod): ObservedPod {
  return {
    sandboxes: observed.sandboxes.toSorted(
      (a, b) => b.createdAtMs - a.createdAtMs || b.attempt - a.attempt,
    ),
    containers: observed.containers.toSorted(
      (a, b) => b.createdAtMs - a.createdAtMs || b.restartCount - a.restartCount,
    ),
  };
}

function millisecondsFrom(nanoseconds: bigint): number {
  return Number(nanoseconds / 1_000_000n);
}

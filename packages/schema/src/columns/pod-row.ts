import type { Json } from "@wherry/machinery";
import { listAt, numberAt, textAt, treeAt, treesAt, type Tree } from "../tree.ts";
import { ageOf, humanDuration } from "./human-duration.ts";

/** Name, Ready, Status, Restarts, Age, IP, Node, Nominated Node, Readiness Gates. */
export function podRow(pod: Tree, now: number): readonly Json[] {
  const summary = summaryOf(pod);
  const restarts =
    summary.restarts !== 0 && summary.lastRestart > 0
      ? `${summary.restarts} (${humanDuration(now - summary.lastRestart)} ago)`
      : String(summary.restarts);
  return [
    textAt(pod, "metadata", "name"),
    `${summary.ready}/${summary.total}`,
    summary.reason,
    restarts,
    ageOf(treeAt(pod, "metadata")?.["creationTimestamp"], now),
    textAt(treesAt(pod, "status", "podIPs")[0], "ip") || "<none>",
    textAt(pod, "spec", "nodeName") || "<none>",
    textAt(pod, "status", "nominatedNodeName") || "<none>",
    readinessGates(pod),
  ];
}

interface PodSummary {
  ready: number;
  total: number;
  reason: string;
  restarts: number;
  /** ms since the epoch, 0 for none. */
  lastRestart: number;
}

function summaryOf(pod: Tree): PodSummary {
  const status = treeAt(pod, "status");
  const phase = textAt(status, "phase");
  const conditions = treesAt(status, "conditions");
  const sidecars = new Set(
    treesAt(pod, "spec", "initContainers")
      .filter((container) => container["restartPolicy"] === "Always")
      .map((container) => textAt(container, "name")),
  );
  const summary: PodSummary = {
    ready: 0,
    total: treesAt(pod, "spec", "containers").length + sidecars.size,
    reason: textAt(status, "reason") || phase,
    restarts: 0,
    lastRestart: 0,
  };
  if (
    conditions.some(
      (item) => item["type"] === "PodScheduled" && item["reason"] === "SchedulingGated",
    )
  ) {
    summary.reason = "SchedulingGated";
  }
  const sidecarRestarts = { restarts: 0, lastRestart: 0 };
  const isInitializing = readInitContainers(pod, sidecars, summary, sidecarRestarts);
  const isInitialized = conditions.some(
    (item) => item["type"] === "Initialized" && item["status"] === "True",
  );
  if (!isInitializing || isInitialized) {
    Object.assign(summary, sidecarRestarts);
    readContainers(pod, summary);
  }
  if (treeAt(pod, "metadata")?.["deletionTimestamp"] !== undefined) {
    if (textAt(status, "reason") === "NodeLost") summary.reason = "Unknown";
    else if (phase !== "Succeeded" && phase !== "Failed") summary.reason = "Terminating";
  }
  return summary;
}

/** True while an init container has not done its part. */
function readInitContainers(
  pod: Tree,
  sidecars: ReadonlySet<string>,
  summary: PodSummary,
  sidecarRestarts: { restarts: number; lastRestart: number },
): boolean {
  const statuses = treesAt(pod, "status", "initContainerStatuses");
  for (const [index, status] of statuses.entries()) {
    countRestarts(status, summary);
    const isSidecar = sidecars.has(textAt(status, "name"));
    if (isSidecar) countRestarts(status, sidecarRestarts);
    const terminated = treeAt(status, "state", "terminated");
    const waiting = textAt(status, "state", "waiting", "reason");
    if (terminated !== undefined && (numberAt(terminated, "exitCode") ?? 0) === 0) continue;
    if (isSidecar && status["started"] === true) {
      if (status["ready"] === true) summary.ready += 1;
      continue;
    }
    if (terminated !== undefined) summary.reason = `Init:${terminationReason(terminated)}`;
    else if (waiting !== "" && waiting !== "PodInitializing") summary.reason = `Init:${waiting}`;
    else summary.reason = `Init:${index}/${treesAt(pod, "spec", "initContainers").length}`;
    return true;
  }
  return false;
}

function readContainers(pod: Tree, summary: PodSummary): void {
  let hasRunning = false;
  let errorReason = "";
  for (const status of treesAt(pod, "status", "containerStatuses").toReversed()) {
    countRestarts(status, summary);
    const waiting = textAt(status, "state", "waiting", "reason");
    const terminated = treeAt(status, "state", "terminated");
    if (waiting !== "") summary.reason = waiting;
    else if (terminated !== undefined) {
      summary.reason = terminationReason(terminated);
      if ((numberAt(terminated, "exitCode") ?? 0) !== 0) errorReason = summary.reason;
    } else if (status["ready"] === true && treeAt(status, "state", "running") !== undefined) {
      hasRunning = true;
      summary.ready += 1;
    }
  }
  if (summary.reason !== "Completed") return;
  const isReady = treesAt(pod, "status", "conditions").some(
    (item) => item["type"] === "Ready" && item["status"] === "True",
  );
  if (hasRunning && isReady) summary.reason = "Running";
  else if (errorReason !== "") summary.reason = errorReason;
  else if (hasRunning) summary.reason = "NotReady";
}

function terminationReason(terminated: Tree): string {
  const reason = textAt(terminated, "reason");
  if (reason !== "") return reason;
  const signal = numberAt(terminated, "signal") ?? 0;
  return signal !== 0 ? `Signal:${signal}` : `ExitCode:${numberAt(terminated, "exitCode") ?? 0}`;
}

function countRestarts(status: Tree, into: { restarts: number; lastRestart: number }): void {
  into.restarts += numberAt(status, "restartCount") ?? 0;
  const finished = textAt(status, "lastState", "terminated", "finishedAt");
  if (finished !== "") into.lastRestart = Math.max(into.lastRestart, Date.parse(finished));
}

function readinessGates(pod: Tree): string {
  const gates = treesAt(pod, "spec", "readinessGates");
  if (gates.length === 0) return "<none>";
  const conditions = listAt(pod, "status", "conditions") as readonly Tree[];
  const open = gates.filter((gate) =>
    conditions.some((item) => item["type"] === gate["conditionType"] && item["status"] === "True"),
  );
  return `${open.length}/${gates.length}`;
}

import type { Node } from "@wherry/machinery";
import type { NodePressure } from "./host-facts.ts";

export type NodeCondition = NonNullable<NonNullable<Node["status"]>["conditions"]>[number];

export interface NodeConditionInputs {
  readonly pressure: NodePressure;
  /** Undefined: the runtime does not answer. */
  readonly runtime:
    | { readonly runtimeReady: boolean; readonly networkReady: boolean; readonly message: string }
    | undefined;
  readonly previous: readonly NodeCondition[];
  readonly now: string;
}

/** The node's own conditions with the kubelet's reasons and messages; `lastTransitionTime` moves only when the status does. */
export function nodeConditions({
  pressure,
  runtime,
  previous,
  now,
}: NodeConditionInputs): readonly NodeCondition[] {
  const problems = readyProblems(runtime);
  const wanted: readonly Omit<NodeCondition, "lastHeartbeatTime" | "lastTransitionTime">[] = [
    pressure.memory
      ? {
          type: "MemoryPressure",
          status: "True",
          reason: "KubeletHasInsufficientMemory",
          message: "kubelet has insufficient memory available",
        }
      : {
          type: "MemoryPressure",
          status: "False",
          reason: "KubeletHasSufficientMemory",
          message: "kubelet has sufficient memory available",
        },
    pressure.disk
      ? {
          type: "DiskPressure",
          status: "True",
          reason: "KubeletHasDiskPressure",
          message: "kubelet has disk pressure",
        }
      : {
          type: "DiskPressure",
          status: "False",
          reason: "KubeletHasNoDiskPressure",
          message: "kubelet has no disk pressure",
        },
    pressure.pid
      ? {
          type: "PIDPressure",
          status: "True",
          reason: "KubeletHasInsufficientPID",
          message: "kubelet has insufficient PID available",
        }
      : {
          type: "PIDPressure",
          status: "False",
          reason: "KubeletHasSufficientPID",
          message: "kubelet has sufficient PID available",
        },
    problems.length === 0
      ? {
          type: "Ready",
          status: "True",
          reason: "KubeletReady",
          message: "kubelet is posting ready status",
        }
      : {
          type: "Ready",
          status: "False",
          reason: "KubeletNotReady",
          message: problems.length === 1 ? (problems[0] ?? "") : `[${problems.join(", ")}]`,
        },
  ];
  return wanted.map((one) => {
    const before = previous.find((other) => other.type === one.type);
    return {
      ...one,
      lastHeartbeatTime: now,
      lastTransitionTime: before?.status === one.status ? (before.lastTransitionTime ?? now) : now,
    };
  });
}

function readyProblems(runtime: NodeConditionInputs["runtime"]): readonly string[] {
  if (runtime === undefined) return ["container runtime is down"];
  const problems: string[] = [];
  if (!runtime.runtimeReady)
    problems.push(
      `container runtime not ready: RuntimeReady=false reason: message:${runtime.message}`,
    );
  if (!runtime.networkReady)
    problems.push(`container runtime network not ready: ${networkProblem(runtime.message)}`);
  return problems;
}

/** Also the message of pods that wait for the network. */
export function networkProblem(message: string): string {
  return `NetworkReady=false reason:NetworkPluginNotReady message:${message}`;
}

/** Reason of the event that tells of a condition's change; undefined: none is given. */
export function conditionEvent(condition: NodeCondition): string | undefined {
  const names: Readonly<Record<string, readonly [whenTrue: string, whenFalse: string]>> = {
    MemoryPressure: ["NodeHasInsufficientMemory", "NodeHasSufficientMemory"],
    DiskPressure: ["NodeHasDiskPressure", "NodeHasNoDiskPressure"],
    PIDPressure: ["NodeHasInsufficientPID", "NodeHasSufficientPID"],
    Ready: ["NodeReady", "NodeNotReady"],
  };
  return names[condition.type]?.[condition.status === "True" ? 0 : 1];
}

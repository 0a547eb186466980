import type { ContainerRuntime } from "@wherry/cri-api";
import { containerFrom, sandboxFrom, sortObserved } from "./observed.ts";
import type { ObservedContainer, ObservedPod, ObservedSandbox } from "./observed.ts";
import { runtimeLabel } from "./runtime-labels.ts";
import { isGone } from "./runtime-error-text.ts";
import { terminationMessage } from "./termination-message.ts";

/** Looks at one pod in the runtime. What cannot change any more (ended containers, addresses of a ready sandbox) is asked for once. */
export interface PodObserver {
  observe(): Promise<ObservedPod>;
  /** Last words of an ended container, read when its end was first seen. */
  terminationMessage(containerId: string): string | undefined;
}

export function createPodObserver(runtime: ContainerRuntime, uid: string): PodObserver {
  const ended = new Map<string, ObservedContainer>();
  const messages = new Map<string, string>();
  const addressed = new Map<string, ObservedSandbox>();
  const labels = { [runtimeLabel.podUid]: uid };

  const observeSandboxes = async (): Promise<readonly ObservedSandbox[]> => {
    const sandboxes: ObservedSandbox[] = [];
    for (const sandbox of await runtime.listPodSandboxes({ labels })) {
      const known = addressed.get(sandbox.id);
      if (sandbox.state !== "READY") {
        addressed.delete(sandbox.id);
        sandboxes.push(known === undefined ? sandboxFrom(sandbox) : { ...known, ready: false });
      } else if (known !== undefined) sandboxes.push(known);
      else {
        const status = await runtime.podSandboxStatus(sandbox.id).catch(orGone);
        if (status === undefined) continue;
        const observed = sandboxFrom(status);
        if (observed.ready) addressed.set(sandbox.id, observed);
        sandboxes.push(observed);
      }
    }
    return sandboxes;
  };

  const observeContainers = async (): Promise<readonly ObservedContainer[]> => {
    const containers: ObservedContainer[] = [];
    const list = await runtime.listContainers({ labels });
    for (const container of list) {
      const known = ended.get(container.id);
      if (known !== undefined) {
        containers.push(known);
        continue;
      }
      const status = await runtime.containerStatus(container.id).catch(orGone);
      if (status === undefined) continue;
      const observed = containerFrom(status, container);
      containers.push(observed);
      if (observed.state !== "EXITED") continue;
      ended.set(container.id, observed);
      const message = await terminationMessage(observed);
      if (message !== undefined) messages.set(container.id, message);
    }
    const present = new Set(list.map((one) => one.id));
    for (const id of ended.keys()) {
      if (present.has(id)) continue;
      ended.delete(id);
      messages.delete(id);
    }
    return containers;
  };

  return {
    async observe() {
      const [sandboxes, containers] = await Promise.all([observeSandboxes(), observeContainers()]);
      return sortObserved({ sandboxes, containers });
    },
    terminationMessage: (containerId) => messages.get(containerId),
  };
}

function orGone(error: unknown): undefined {
  if (isGone(error)) return undefined;
  throw error;
}

import { rm } from "node:fs/promises";
import type { Pod } from "@wherry/machinery";
import type { ObservedContainer, ObservedPod } from "./observed.ts";
import type { PodDeps } from "./pod-deps.ts";
import { isGone } from "./runtime-error-text.ts";

/** Ended instances kept beside the newest one of each container, for `kubectl logs --previous`. */
const endedKept = 1;

/** Removes ended instances that nothing shows any more, and sandboxes that were replaced. */
export async function removeOldInstances(
  pod: Pod,
  observed: ObservedPod,
  deps: Pick<PodDeps, "runtime" | "logs">,
): Promise<void> {
  const seen = new Map<string, number>();
  for (const container of observed.containers) {
    const count = (seen.get(container.name) ?? 0) + 1;
    seen.set(container.name, count);
    if (count > 1 + endedKept && container.state === "EXITED")
      await removeInstance(pod, container, deps);
  }
  for (const [index, sandbox] of observed.sandboxes.entries()) {
    const used = observed.containers.some((one) => one.sandboxId === sandbox.id);
    if (index > 0 && !sandbox.ready && !used)
      await deps.runtime.removePodSandbox(sandbox.id).catch(ignoreGone);
  }
}

/** Removes everything of an ended pod from the runtime. */
export async function removeRuntimeObjects(
  pod: Pod,
  observed: ObservedPod,
  deps: Pick<PodDeps, "runtime" | "logs">,
): Promise<void> {
  for (const container of observed.containers) await removeInstance(pod, container, deps);
  for (const sandbox of observed.sandboxes)
    await deps.runtime.removePodSandbox(sandbox.id).catch(ignoreGone);
}

async function removeInstance(
  pod: Pod,
  container: ObservedContainer,
  deps: Pick<PodDeps, "runtime" | "logs">,
): Promise<void> {
  await deps.runtime.removeContainer(container.id).catch(ignoreGone);
  await deps.logs.unlink(pod, container.name, container.id);
  if (container.logPath.startsWith("/")) await rm(container.logPath, { force: true });
}

function ignoreGone(error: unknown): void {
  if (!isGone(error)) throw error;
}

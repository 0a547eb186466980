import type { ContainerRuntime } from "@wherry/cri-api";
import type { Clock } from "@wherry/service-kit";
import { getHttp, urlOf } from "../probes/http-request.ts";
import { httpTarget } from "../probes/run-probe.ts";
import type { ContainerSpec, LifecycleHandler } from "./pod-types.ts";

export interface HookTarget {
  readonly container: ContainerSpec;
  readonly containerId: string;
  readonly podIp: string;
}

export interface HookDeps {
  readonly runtime: Pick<ContainerRuntime, "execSync">;
  readonly clock: Clock;
  readonly userAgent: string;
}

/** Hooks over HTTP give up after this time; exec hooks run as long as they like (a preStop one within the grace period). */
const httpTimeoutMs = 30_000;

/** Runs a postStart or preStop hook to its end; rejects when it fails. `signal` ends a sleeping hook. */
export async function runHook(
  handler: LifecycleHandler,
  target: HookTarget,
  deps: HookDeps,
  signal?: AbortSignal,
): Promise<void> {
  if (handler.exec !== undefined) {
    const command = handler.exec.command ?? [];
    const { exitCode, stderr } = await deps.runtime.execSync(target.containerId, command, 0);
    if (exitCode !== 0)
      throw new Error(
        `command '${command.join(" ")}' exited with ${exitCode}: ${stderr.subarray(0, 1_024).toString("utf8")}`,
      );
    return;
  }
  if (handler.httpGet !== undefined) {
    const http = httpTarget(handler.httpGet, target.container, target.podIp);
    const { status } = await getHttp(http, httpTimeoutMs, deps.userAgent);
    if (status >= 400)
      throw new Error(`HTTP lifecycle hook (${urlOf(http)}) failed with status ${status}`);
    return;
  }
  if (handler.sleep !== undefined) {
    await deps.clock.sleep(handler.sleep.seconds * 1_000, signal);
    return;
  }
  throw new Error(`invalid handler: ${Object.keys(handler).join(", ") || "none"}`);
}

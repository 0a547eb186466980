import type { ContainerRuntime } from "@wherry/cri-api";
import { systemClock, type Clock, type Timer } from "@wherry/service-kit";

/** Events may be missed; while somebody waits, the containers in question are looked at this often. */
const SAFETY_CHECK_MS = 5_000;

export interface ExitWatch {
  /** Calls back once when the container has ended or is gone, possibly at once. Returns how to stop waiting. */
  onExit(containerId: string, callback: () => void): () => void;
  close(): void;
}

/** One event subscription for all who wait for a container's end, open only while somebody does. */
export function createExitWatch(runtime: ContainerRuntime, clock: Clock = systemClock): ExitWatch {
  const waiting = new Map<string, Set<() => void>>();
  let subscription: AbortController | undefined;
  let timer: Timer | undefined;

  const ended = (containerId: string): void => {
    const callbacks = waiting.get(containerId);
    waiting.delete(containerId);
    for (const callback of callbacks ?? []) callback();
    settle();
  };
  const check = async (containerId: string): Promise<void> => {
    const state = await runtime.containerStatus(containerId).then(
      (status) => status.state,
      () => "EXITED",
    );
    if (state !== "RUNNING" && state !== "CREATED") ended(containerId);
  };
  const checkAll = (): void => {
    for (const containerId of waiting.keys()) void check(containerId);
    timer = clock.setTimer(SAFETY_CHECK_MS, checkAll);
  };
  const follow = async (signal: AbortSignal): Promise<void> => {
    for await (const event of runtime.events(signal)) {
      if (event.kind === "stopped" || event.kind === "removed") ended(event.containerId);
    }
  };
  /** Opens or closes the subscription as needed. */
  const settle = (): void => {
    if (waiting.size > 0 && subscription === undefined) {
      subscription = new AbortController();
      // A subscription that ends leaves the safety check.
      follow(subscription.signal).catch(() => {});
      timer = clock.setTimer(SAFETY_CHECK_MS, checkAll);
    } else if (waiting.size === 0 && subscription !== undefined) {
      subscription.abort();
      subscription = undefined;
      timer?.cancel();
    }
  };

  return {
    onExit(containerId, callback) {
      const callbacks = waiting.get(containerId) ?? new Set();
      waiting.set(containerId, callbacks.add(callback));
      settle();
      void check(containerId);
      return () => {
        callbacks.delete(callback);
        if (callbacks.size === 0 && waiting.get(containerId) === callbacks)
          waiting.delete(containerId);
        settle();
      };
    },
    close() {
      waiting.clear();
      settle();
    },
  };
}

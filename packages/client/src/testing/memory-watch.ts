import { statusOf, type KubeObject } from "@wherry/machinery";
import type { Clock, Timer } from "@wherry/service-kit";

/** The body of a watch answer: a queue of lines that ends when it is closed or its reader leaves. */
export interface MemoryWatchBody {
  readonly body: AsyncIterable<Uint8Array>;
  send(type: string, object: unknown): void;
  sendError(error: unknown): void;
  /** Ends after what was sent. */
  end(): void;
  /** Breaks off at once, as a lost connection does. */
  break(): void;
}

export interface MemoryWatchOptions {
  readonly signal: AbortSignal | undefined;
  /** Called once, when nobody reads any more. */
  readonly onClose: () => void;
  /** Delay of each event, in order. */
  readonly lag?: { readonly clock: Clock; readonly nextMs: () => number };
}

/** A reader that is further behind is cut off, as the API server does with slow watchers. */
const linesMax = 20_000;

export function createMemoryWatch(options: MemoryWatchOptions): MemoryWatchBody {
  const { signal, lag } = options;
  const lines: Uint8Array[] = [];
  const timers = new Set<Timer>();
  let lastDueMs = 0;
  let state: "open" | "ended" | "broken" | "closed" = "open";
  let wake = (): void => {};

  const close = (): void => {
    if (state === "closed") return;
    state = "closed";
    for (const timer of timers) timer.cancel();
    signal?.removeEventListener("abort", wakeUp);
    options.onClose();
    wake();
  };
  const wakeUp = (): void => wake();
  signal?.addEventListener("abort", wakeUp);

  const push = (line: Uint8Array): void => {
    if (state !== "open") return;
    lines.push(line);
    if (lines.length > linesMax) state = "broken";
    wake();
  };
  /** Runs the action after the lag, never before what was sent earlier. */
  const later = (action: () => void): void => {
    if (lag === undefined) {
      action();
      return;
    }
    const nowMs = lag.clock.monotonic();
    lastDueMs = Math.max(lastDueMs, nowMs + lag.nextMs());
    const timer = lag.clock.setTimer(lastDueMs - nowMs, () => {
      timers.delete(timer);
      action();
    });
    timers.add(timer);
  };

  async function* read(): AsyncGenerator<Uint8Array, void, undefined> {
    try {
      for (;;) {
        if (signal?.aborted === true) throw abortError(signal);
        if (state === "broken") throw new Error("the connection was lost");
        const line = lines.shift();
        if (line !== undefined) yield line;
        else if (state === "open") await waitForMore();
        else return;
      }
    } finally {
      close();
    }
  }
  const waitForMore = (): Promise<void> =>
    new Promise((resolve) => {
      wake = resolve;
    });

  return {
    body: read(),
    send(type, object) {
      const line = Buffer.from(`${JSON.stringify({ type, object })}\n`);
      later(() => push(line));
    },
    sendError(error) {
      const line = Buffer.from(`${JSON.stringify({ type: "ERROR", object: statusOf(error) })}\n`);
      later(() => push(line));
    },
    end() {
      later(() => {
        if (state === "open") state = "ended";
        wake();
      });
    },
    break() {
      if (state === "open") state = "broken";
      wake();
    },
  };
}

function abortError(signal: AbortSignal): Error {
  return signal.reason instanceof Error
    ? signal.reason
    : new Error("aborted", { cause: signal.reason });
}

/** The object of a bookmark: nothing but type and resourceVersion. */
export function bookmark(
  type: { readonly apiVersion: string; readonly kind: string },
  revision: number,
  initialEnd: boolean,
): KubeObject {
  return {
    apiVersion: type.apiVersion,
    kind: type.kind,
    metadata: {
      resourceVersion: String(revision),
      ...(initialEnd ? { annotations: { "k8s.io/initial-events-end": "true" } } : {}),
    },
  };
}

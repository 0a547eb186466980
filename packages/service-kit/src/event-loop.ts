import { monitorEventLoopDelay } from "node:perf_hooks";
import type { MetricsRegistry } from "./metrics.ts";

export interface EventLoopMonitor {
  /** Milliseconds since the last call: 99th percentile and maximum of the loop's delay. Resets the window. */
  sample(): { readonly p99Ms: number; readonly maxMs: number };
  stop(): void;
}

/** Resolution of the sampling timer in ms; it is subtracted from what is reported. */
const RESOLUTION_MS = 20;

/** Watches how long the event loop is held. The sampling timer is the one periodic thing in an idle process; 50 wake-ups a second. */
export function createEventLoopMonitor(metrics: MetricsRegistry): EventLoopMonitor {
  const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  const gauge = metrics.gauge({
    name: "wherry_event_loop_delay_seconds",
    help: "Delay of the event loop.",
    labelNames: ["quantile"],
  });
  histogram.enable();
  return {
    sample() {
      const p99Ms = Math.max(0, histogram.percentile(99) / 1e6 - RESOLUTION_MS);
      const maxMs = Math.max(0, histogram.max / 1e6 - RESOLUTION_MS);
      histogram.reset();
      gauge.set(p99Ms / 1000, { quantile: "0.99" });
      gauge.set(maxMs / 1000, { quantile: "1" });
      return { p99Ms, maxMs };
    },
    stop: () => histogram.disable(),
  };
}

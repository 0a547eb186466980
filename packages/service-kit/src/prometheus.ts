import type {
  Counter as PromCounter,
  Gauge as PromGauge,
  Histogram as PromHistogram,
  Registry,
} from "prom-client";
import { invariant } from "./invariant.ts";
import type {
  Counter,
  Gauge,
  Histogram,
  InstrumentOptions,
  Labels,
  MetricsRegistry,
} from "./metrics.ts";

type Instrument = {
  readonly kind: "counter" | "gauge" | "histogram";
  readonly labels: string;
  readonly value: unknown;
};

/** A registry over prom-client, which is loaded here and nowhere else. */
export async function createMetrics(): Promise<MetricsRegistry> {
  const { default: client } = await import("prom-client");
  const registry: Registry = new client.Registry();
  const known = new Map<string, Instrument>();

  const instrument = <T>(
    kind: Instrument["kind"],
    options: InstrumentOptions,
    make: () => T,
  ): T => {
    const labels = [...(options.labelNames ?? [])].sort().join(",");
    const existing = known.get(options.name);
    if (existing !== undefined) {
      invariant(
        existing.kind === kind && existing.labels === labels,
        `metric ${options.name} is registered with another kind or other labels`,
      );
      return existing.value as T;
    }
    const value = make();
    known.set(options.name, { kind, labels, value });
    return value;
  };
  const base = (options: InstrumentOptions) => ({
    name: options.name,
    help: options.help,
    labelNames: [...(options.labelNames ?? [])],
    registers: [registry],
  });

  return {
    counter: (options) =>
      instrument("counter", options, (): Counter => {
        const counter: PromCounter = new client.Counter(base(options));
        return { increment: (labels, by = 1) => counter.inc({ ...labels }, by) };
      }),
    gauge: (options) =>
      instrument("gauge", options, (): Gauge => {
        const gauge: PromGauge = new client.Gauge(base(options));
        return {
          set: (value, labels?: Labels) => gauge.set({ ...labels }, value),
          add: (by, labels?: Labels) => gauge.inc({ ...labels }, by),
        };
      }),
    histogram: (options) =>
      instrument("histogram", options, (): Histogram => {
        const histogram: PromHistogram = new client.Histogram({
          ...base(options),
          buckets: [...options.buckets],
        });
        return { observe: (value, labels) => histogram.observe({ ...labels }, value) };
      }),
    expose: () => registry.metrics(),
  };
}

/** Counts nothing; for tests and for callers that expose no metrics. */
export function createNullMetrics(): MetricsRegistry {
  return {
    counter: () => ({ increment() {} }),
    gauge: () => ({ set() {}, add() {} }),
    histogram: () => ({ observe() {} }),
    expose: async () => "",
  };
}

/**
 * Metrics as a dependency, in Prometheus' model. Names and label names are those of upstream's component where one
 * exists. A registry belongs to one process or test; nothing is registered globally.
 */
export interface MetricsRegistry {
  /** Returns the existing instrument when the name is known already (same kind and labels required). */
  counter(options: InstrumentOptions): Counter;
  gauge(options: InstrumentOptions): Gauge;
  histogram(options: InstrumentOptions & { readonly buckets: readonly number[] }): Histogram;
  /** Prometheus text exposition format 0.0.4. */
  expose(): Promise<string>;
}

export interface InstrumentOptions {
  readonly name: string;
  readonly help: string;
  readonly labelNames?: readonly string[];
}

export type Labels = Readonly<Record<string, string>>;

export interface Counter {
  increment(labels?: Labels, by?: number): void;
}

export interface Gauge {
  set(value: number, labels?: Labels): void;
  add(by: number, labels?: Labels): void;
}

export interface Histogram {
  observe(value: number, labels?: Labels): void;
}

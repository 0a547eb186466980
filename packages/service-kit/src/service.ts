/**
 * The life of a service, and of several together.
 *
 * A service goes forward only: built, started once, stopped once. A stopped service is never started again; a new
 * one is built. `runServices` starts each service after those that it names in `after`, ends when it is asked to or
 * when one service ends by itself, and stops dependants first under one deadline.
 */

export type Health =
  | { readonly status: "ok" }
  | { readonly status: "failing"; readonly reason: string };

export interface Service {
  readonly name: string;
  /** Resolves when dependants may use the service. Nothing is opened before it is called. */
  start(signal: AbortSignal): Promise<void>;
  /** Drains, then releases everything. Idempotent; safe before and during `start`. */
  stop(deadline: AbortSignal): Promise<void>;
  /** Resolves after a requested stop; rejects if the service ends by itself. */
  readonly done: Promise<void>;
  /** Synchronous and without I/O. */
  health(): Health;
}

export interface ServiceNode {
  readonly service: Service;
  readonly after?: readonly Service[];
}

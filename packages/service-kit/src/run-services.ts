import type { Logger } from "./logger.ts";
import { invariant } from "./invariant.ts";
import type { Service, ServiceNode } from "./service.ts";

export interface RunServicesOptions {
  /** Aborting it asks everything to stop. */
  readonly signal: AbortSignal;
  /** One deadline for stopping all. */
  readonly stopTimeoutMs: number;
  readonly log: Logger;
  /** Called once, when every service has started. */
  readonly onReady?: () => void;
}

/**
 * Runs services together until the signal aborts or one of them ends by itself. Each starts when those in `after` are ready (independent
 * ones start at the same time); dependants stop first. Rejects with the first cause: a failed start or a service that ended by itself.
 * Throws at once, before anything starts, when `after` names a service that is not in the list or the order has a cycle.
 */
export async function runServices(
  nodes: readonly ServiceNode[],
  options: RunServicesOptions,
): Promise<void> {
  assertOrder(nodes);
  const { log } = options;
  const starting = new AbortController();
  const started = new Map<Service, Promise<void>>();
  const touched: Service[] = [];

  const ended = Promise.race(nodes.map((node) => endOf(node.service)));
  const asked = aborted(options.signal);
  let outcome: Outcome;
  try {
    for (const node of inOrder(nodes)) {
      const ready = Promise.all(
        (node.after ?? []).map((service) => started.get(service) ?? Promise.resolve()),
      );
      const start = ready.then(async () => {
        if (starting.signal.aborted) throw new Error("stopped while starting");
        touched.push(node.service);
        const beganMs = performance.now();
        await node.service.start(starting.signal);
        log.debug(
          { service: node.service.name, durationMs: Math.round(performance.now() - beganMs) },
          "service started",
        );
      });
      start.catch(() => {});
      started.set(node.service, start);
    }
    const allStarted = Promise.all(started.values()).then((): Outcome => ({ kind: "ready" }));
    outcome = await Promise.race([allStarted, ended, asked]);
    if (outcome.kind === "ready") {
      options.onReady?.();
      outcome = await Promise.race([ended, asked]);
    }
  } catch (error) {
    outcome = { kind: "failed", error };
  }
  starting.abort(new Error("stopping"));
  await stopAll(nodes, touched, options);
  if (outcome.kind === "failed") throw outcome.error;
}

type Outcome =
  | { readonly kind: "ready" }
  | { readonly kind: "asked" }
  | { readonly kind: "failed"; readonly error: unknown };

async function endOf(service: Service): Promise<Outcome> {
  try {
    await service.done;
    return { kind: "asked" };
  } catch (error) {
    return {
      kind: "failed",
      error: new Error(
        `${service.name} ended: ${String(error instanceof Error ? error.message : error)}`,
        { cause: error },
      ),
    };
  }
}

function aborted(signal: AbortSignal): Promise<Outcome> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve({ kind: "asked" });
    else signal.addEventListener("abort", () => resolve({ kind: "asked" }), { once: true });
  });
}

async function stopAll(
  nodes: readonly ServiceNode[],
  touched: readonly Service[],
  options: RunServicesOptions,
): Promise<void> {
  const deadline = AbortSignal.timeout(options.stopTimeoutMs);
  const stopped = new Map<Service, Promise<void>>();
  for (const node of inOrder(nodes).reverse()) {
    const dependants = nodes.filter((other) => other.after?.includes(node.service) === true);
    const stop = Promise.all(
      dependants.map((other) => stopped.get(other.service) ?? Promise.resolve()),
    ).then(async () => {
      if (!touched.includes(node.service)) return;
      try {
        await node.service.stop(deadline);
      } catch (error) {
        options.log.warn(
          { service: node.service.name, err: error },
          "service did not stop cleanly",
        );
      }
    });
    stopped.set(node.service, stop);
  }
  const late = new Promise<"late">((resolve) => {
    deadline.addEventListener("abort", () => resolve("late"), { once: true });
  });
  const result = await Promise.race([Promise.all(stopped.values()), late]);
  if (result === "late")
    options.log.warn({ stopTimeoutMs: options.stopTimeoutMs }, "services did not stop in time");
}

function assertOrder(nodes: readonly ServiceNode[]): void {
  const known = new Set(nodes.map((node) => node.service));
  for (const node of nodes) {
    for (const service of node.after ?? []) {
      invariant(
        known.has(service),
        `${node.service.name} starts after ${service.name}, which is not run`,
      );
    }
  }
  inOrder(nodes);
}

/** Dependencies first, otherwise in the given order. */
function inOrder(nodes: readonly ServiceNode[]): ServiceNode[] {
  const byService = new Map(nodes.map((node) => [node.service, node]));
  const sorted: ServiceNode[] = [];
  const visiting = new Set<ServiceNode>();
  const visit = (node: ServiceNode): void => {
    if (sorted.includes(node)) return;
    invariant(!visiting.has(node), `the start order has a cycle through ${node.service.name}`);
    visiting.add(node);
    for (const service of node.after ?? []) {
      const before = byService.get(service);
      if (before !== undefined) visit(before);
    }
    sorted.push(node);
  };
  for (const node of nodes) visit(node);
  return sorted;
}

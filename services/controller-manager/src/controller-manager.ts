import {
  createEventRecorder,
  createInformerFactory,
  runLeaderElection,
  type ApiClient,
  type EventRecorder,
} from "@wherry/client";
import {
  createService,
  UsageError,
  type Clock,
  type Logger,
  type MetricsRegistry,
  type Service,
} from "@wherry/service-kit";
import type { ControllerManagerConfig } from "./config.ts";
import { controllerFactories } from "./controller-factories.ts";
import type { Controller, ControllerContext } from "./core/controller.ts";

export interface ControllerManagerDeps {
  readonly api: ApiClient;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: MetricsRegistry;
}

/** All control loops over one client and one set of informers. Driven by watches and timers, idle otherwise; a candidate that does not lead opens nothing. */
export function createControllerManager(
  config: ControllerManagerConfig,
  deps: ControllerManagerDeps,
): Service {
  const { api, clock } = deps;
  const { concurrency, leaderElection } = config;
  const log = deps.log.child({ component: "controller-manager" });
  const enabled = enabledControllers(config.controllers, Object.keys(controllerFactories));
  const informers = createInformerFactory({ client: api, clock, log, metrics: deps.metrics });
  const recorders: EventRecorder[] = [];
  const stop = new AbortController();
  let running: Promise<unknown> | undefined;

  /** Resolves when all loops run; they end with `stopping`. */
  const begin = async (
    starting: AbortSignal,
    stopping: AbortSignal,
  ): Promise<{ readonly ended: Promise<unknown> }> => {
    const controllers: Controller[] = [];
    for (const name of enabled) {
      const recorder = createEventRecorder({ client: api, clock, component: name, log });
      recorders.push(recorder);
      const context: ControllerContext = {
        api,
        informers,
        events: recorder,
        clock,
        log,
        concurrency,
      };
      controllers.push(...(controllerFactories[name]?.(context, config) ?? []));
    }
    informers.start();
    await informers.whenSynced(starting);
    return { ended: Promise.all(controllers.map((controller) => controller.run(stopping))) };
  };

  return createService({
    name: "controller-manager",
    async start(signal, fail) {
      if (leaderElection === undefined)
        running = (await begin(AbortSignal.any([signal, stop.signal]), stop.signal)).ended;
      else {
        const lead = async (leading: AbortSignal): Promise<void> => {
          await (
            await begin(leading, leading)
          ).ended;
        };
        running = runLeaderElection({
          client: api,
          clock,
          log,
          signal: stop.signal,
          lead,
          ...leaderElection,
        });
      }
      running.catch((error: unknown) => {
        if (!stop.signal.aborted) fail(error);
      });
    },
    async stop() {
      stop.abort(new Error("the controller manager is stopped"));
      await running?.catch(() => {});
      for (const recorder of recorders) recorder.stop();
      await informers.stop();
    },
  });
}

/** Throws UsageError naming an unknown controller. */
export function enabledControllers(list: readonly string[], known: readonly string[]): string[] {
  const unknown = list
    .map((name) => name.replace(/^-/, ""))
    .find((name) => name !== "*" && !known.includes(name));
  if (unknown !== undefined)
    throw new UsageError(
      `--controllers: there is no controller "${unknown}"; there are ${known.join(", ")}`,
    );
  return known.filter(
    (name) => !list.includes(`-${name}`) && (list.includes("*") || list.includes(name)),
  );
}

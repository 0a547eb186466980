import { createEventRecorder, createInformerFactory, type ApiClient, type EventRecorder } from "@wherry/client";
import { createService, UsageError, type Clock, type Logger, type MetricsRegistry, type Service } from "@wherry/service-kit";
import type { ControllerManagerConfig } from "./config.ts";
import { controllerFactories } from "./controller-factories.ts";
import type { Controller, ControllerContext } from "./core/controller.ts";

export interface ControllerManagerDeps {
  readonly api: ApiClient;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: MetricsRegistry;
}

/** All control loops over one client and one set of informers. Driven by watches and timers, idle otherwise. */
export function createControllerManager(config: ControllerManagerConfig, deps: ControllerManagerDeps): Service {
  const { api, clock } = deps;
  const log = deps.log.child({ component: "controller-manager" });
  const enabled = enabledControllers(config.controllers, Object.keys(controllerFactories));
  const informers = createInformerFactory({ client: api, clock, log, metrics: deps.metrics });
  const recorders: EventRecorder[] = [];
  const stop = new AbortController();
  let running: Promise<unknown> | undefined;

  return createService({
    name: "controller-manager",
    async start(signal, fail) {
      const controllers: Controller[] = [];
      for (const name of enabled) {
        const recorder = createEventRecorder({ client: api, clock, component: name, log });
        recorders.push(recorder);
        const context: ControllerContext = { api, informers, events: recorder, clock, log };
        controllers.push(...(controllerFactories[name]?.(context, config) ?? []));
      }
      informers.start();
      await informers.whenSynced(signal);
      running = Promise.all(controllers.map((controller) => controller.run(stop.signal)));
      running.catch(fail);
    },
    async stop() {
      stop.abort();
      await running?.catch(() => {});
      for (const recorder of recorders) recorder.stop();
      await informers.stop();
    },
  });
}

/** Throws UsageError naming an unknown controller. */
export function enabledControllers(list: readonly string[], known: readonly string[]): string[] {
  const unknown = list.map((name) => name.replace(/^-/, "")).find((name) => name !== "*" && !known.includes(name));
  if (unknown !== undefined) throw new UsageError(`--controllers: there is no controller "${unknown}"; there are ${known.join(", ")}`);
  return known.filter((name) => !list.includes(`-${name}`) && (list.includes("*") || list.includes(name)));
}

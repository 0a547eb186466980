import { createInformerFactory, type ApiClient, type InformerFactory } from "@wherry/client";
import type { Clock, Logger } from "@wherry/service-kit";

export interface NetworkDeps {
  /** Needs list and watch on services, endpointslices, nodes, namespaces and this node's pods, and patch on its own node. */
  readonly api: ApiClient;
  /** Shared with the rest of the agent, so that an object is held once; whoever made it starts and stops it. Absent = one of our own. */
  readonly informers?: InformerFactory;
  readonly clock: Clock;
  readonly log: Logger;
}

/** The informers to use and what ends them if they are ours. */
export function informersOf(deps: NetworkDeps): {
  readonly informers: InformerFactory;
  start(): void;
  stop(): Promise<void>;
} {
  const { informers } = deps;
  if (informers !== undefined) return { informers, start: () => {}, stop: async () => {} };
  const own = createInformerFactory({ client: deps.api, clock: deps.clock, log: deps.log });
  return { informers: own, start: () => own.start(), stop: () => own.stop() };
}

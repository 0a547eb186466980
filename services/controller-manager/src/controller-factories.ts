import type { ControllerManagerConfig } from "./config.ts";
import type { Controller, ControllerContext } from "./core/controller.ts";
import { createDeploymentController } from "./core/deployment.ts";
import { createReplicaSetController } from "./core/replica-set.ts";

/** Every controller, by upstream's name in --controllers. */
export const controllerFactories: Readonly<Record<string, (context: ControllerContext, config: ControllerManagerConfig) => readonly Controller[]>> = {
  deployment: (context) => [createDeploymentController(context)],
  replicaset: (context) => [createReplicaSetController(context)],
};

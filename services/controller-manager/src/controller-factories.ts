import { clusterControllerFactories } from "./cluster/cluster-controllers.ts";
import type { ControllerManagerConfig } from "./config.ts";
import type { Controller, ControllerContext } from "./core/controller.ts";
import { createCronJobController } from "./core/cron-job.ts";
import { createDaemonSetController } from "./core/daemon-set.ts";
import { createDeploymentController } from "./core/deployment.ts";
import { createJobController } from "./core/job.ts";
import { createReplicaSetController } from "./core/replica-set.ts";
import { createReplicationControllerController } from "./core/replication-controller.ts";
import { createStatefulSetController } from "./core/stateful-set.ts";

type Factory = (
  context: ControllerContext,
  config: ControllerManagerConfig,
) => readonly Controller[];

/** Every controller, by upstream's name in --controllers. */
export const controllerFactories: Readonly<Record<string, Factory>> = {
  ...clusterControllerFactories,
  "replicaset-controller": (context) => [createReplicaSetController(context)],
  "deployment-controller": (context) => [createDeploymentController(context)],
  "daemonset-controller": (context) => [createDaemonSetController(context)],
  "statefulset-controller": (context) => [createStatefulSetController(context)],
  "job-controller": (context) => [createJobController(context)],
  "cronjob-controller": (context) => [createCronJobController(context)],
  "replicationcontroller-controller": (context) => [createReplicationControllerController(context)],
};

import { createEndpointMirrorController } from "./cluster/endpoint-mirror-controller.ts";
import { createEndpointSliceController } from "./cluster/endpoint-slice-controller.ts";
import { createEndpointsController } from "./cluster/endpoints-controller.ts";
import { createNodeIpamController } from "./cluster/node-ipam-controller.ts";
import { createNodeLifecycleController } from "./cluster/node-lifecycle-controller.ts";
import { createRootCaPublisher } from "./cluster/root-ca-publisher.ts";
import { createServiceAccountController } from "./cluster/service-account-controller.ts";
import { createTaintEvictionController } from "./cluster/taint-eviction-controller.ts";
import type { ControllerManagerConfig } from "./config.ts";
import type { Controller, ControllerContext } from "./core/controller.ts";
import { createDaemonSetController } from "./core/daemon-set.ts";
import { createDeploymentController } from "./core/deployment.ts";
import { createJobController } from "./core/job.ts";
import { createReplicaSetController } from "./core/replica-set.ts";
import { createStatefulSetController } from "./core/stateful-set.ts";

type Factory = (context: ControllerContext, config: ControllerManagerConfig) => readonly Controller[];

/** Every controller, by upstream's name in --controllers. */
export const controllerFactories: Readonly<Record<string, Factory>> = {
  "serviceaccount-controller": (context) => [createServiceAccountController(context)],
  "root-ca-certificate-publisher-controller": (context, { rootCaPem }) => (rootCaPem === undefined ? [] : [createRootCaPublisher(context, { rootCaPem })]),
  "node-ipam-controller": (context, { clusterCidr, nodeCidrMaskSize }) => [createNodeIpamController(context, { clusterCidr, nodeMaskBitsIpv4: nodeCidrMaskSize })],
  "node-lifecycle-controller": (context) => [createNodeLifecycleController(context, {})],
  "taint-eviction-controller": (context) => [createTaintEvictionController(context)],
  "endpointslice-controller": (context) => [createEndpointSliceController(context)],
  "endpoints-controller": (context) => [createEndpointsController(context)],
  "endpointslice-mirroring-controller": (context) => [createEndpointMirrorController(context)],
  "replicaset-controller": (context) => [createReplicaSetController(context)],
  "deployment-controller": (context) => [createDeploymentController(context)],
  "daemonset-controller": (context) => [createDaemonSetController(context)],
  "statefulset-controller": (context) => [createStatefulSetController(context)],
  "job-controller": (context) => [createJobController(context)],
};

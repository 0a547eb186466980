import type { Controller, ControllerContext } from "../core/controller.ts";
import { createEndpointMirrorController } from "./endpoint-mirror-controller.ts";
import { createEndpointSliceController } from "./endpoint-slice-controller.ts";
import { createEndpointsController } from "./endpoints-controller.ts";
import { createNodeIpamController, type NodeIpamConfig } from "./node-ipam-controller.ts";
import { createNodeLifecycleController, type NodeLifecycleConfig } from "./node-lifecycle-controller.ts";
import { createRootCaPublisher } from "./root-ca-publisher.ts";
import { createServiceAccountController } from "./service-account-controller.ts";
import { createTaintEvictionController } from "./taint-eviction-controller.ts";

/** What the cluster's own controllers must know. */
export interface ClusterControllersConfig extends NodeIpamConfig, NodeLifecycleConfig {
  /** The certificates by which pods trust the API server. */
  readonly rootCaPem: string;
}

/** The controllers of what every cluster has: namespaces and their accounts, nodes, endpoints, and what is left over. */
export function createClusterControllers(context: ControllerContext, config: ClusterControllersConfig): readonly Controller[] {
  return [
    createServiceAccountController(context),
    createRootCaPublisher(context, config),
    createNodeIpamController(context, config),
    createNodeLifecycleController(context, config),
    createTaintEvictionController(context),
    createEndpointSliceController(context),
    createEndpointsController(context),
    createEndpointMirrorController(context),
  ];
}

import type { Controller, ControllerContext } from "../core/controller.ts";
import { createEndpointMirrorController } from "./endpoint-mirror-controller.ts";
import { createEndpointSliceController } from "./endpoint-slice-controller.ts";
import { createEndpointsController } from "./endpoints-controller.ts";
import { createGarbageCollector } from "./garbage-collector.ts";
import { createNamespaceController } from "./namespace-controller.ts";
import { createNodeIpamController, type NodeIpamConfig } from "./node-ipam-controller.ts";
import {
  createNodeLifecycleController,
  type NodeLifecycleConfig,
} from "./node-lifecycle-controller.ts";
import { createPodGcController } from "./pod-gc-controller.ts";
import { createRootCaPublisher } from "./root-ca-publisher.ts";
import { createServiceAccountController } from "./service-account-controller.ts";
import {
  createAttributesClassProtection,
  createClaimProtection,
  createVolumeProtection,
} from "./storage-protection.ts";
import { createTaintEvictionController } from "./taint-eviction-controller.ts";

/** What the cluster's own controllers must know. */
export interface ClusterControllersConfig extends NodeIpamConfig, NodeLifecycleConfig {
  /** The certificates by which pods trust the API server; absent: they are not published. */
  readonly rootCaPem?: string | undefined;
}

type ClusterControllerFactory = (
  context: ControllerContext,
  config: ClusterControllersConfig,
) => readonly Controller[];

/** The controllers of what every cluster has, by upstream's names: namespaces and their accounts, nodes, endpoints, and what is left over. */
export const clusterControllerFactories: Readonly<Record<string, ClusterControllerFactory>> = {
  "serviceaccount-controller": (context) => [createServiceAccountController(context)],
  "root-ca-certificate-publisher-controller": (context, { rootCaPem }) =>
    rootCaPem === undefined ? [] : [createRootCaPublisher(context, { rootCaPem })],
  "namespace-controller": (context) => [createNamespaceController(context)],
  "garbage-collector-controller": (context) => [createGarbageCollector(context)],
  "node-ipam-controller": (context, config) => [createNodeIpamController(context, config)],
  "node-lifecycle-controller": (context, config) => [
    createNodeLifecycleController(context, config),
  ],
  "taint-eviction-controller": (context) => [createTaintEvictionController(context)],
  "pod-garbage-collector-controller": (context) => [createPodGcController(context)],
  "persistentvolumeclaim-protection-controller": (context) => [createClaimProtection(context)],
  "persistentvolume-protection-controller": (context) => [createVolumeProtection(context)],
  "volumeattributesclass-protection-controller": (context) => [
    createAttributesClassProtection(context),
  ],
  "endpointslice-controller": (context) => [createEndpointSliceController(context)],
  "endpoints-controller": (context) => [createEndpointsController(context)],
  "endpointslice-mirroring-controller": (context) => [createEndpointMirrorController(context)],
};

import { resources } from "@wherry/client";
import type { ReplicationController } from "@wherry/machinery";
import type { Controller, ControllerContext } from "./controller.ts";
import { createReplicaController } from "./replica-set.ts";

/** The forerunner of the ReplicaSet: the same loop over a plain map as selector. */
export function createReplicationControllerController(context: ControllerContext): Controller {
  return createReplicaController<ReplicationController>(context, {
    name: "replicationcontroller",
    type: {
      apiVersion: "v1",
      kind: "ReplicationController",
      ref: resources.replicationControllers,
    },
    selectorOf: (one) => ({ matchLabels: one.spec.selector ?? {} }),
    countsTerminating: false,
  });
}

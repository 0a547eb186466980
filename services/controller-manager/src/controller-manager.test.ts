import assert from "node:assert/strict";
import { test } from "node:test";
import { resources } from "@wherry/client";
import { createMemoryApi } from "@wherry/client/testing";
import type { Deployment, Lease, Pod } from "@wherry/machinery";
import { createNullMetrics, parseConfig, silentLogger, UsageError } from "@wherry/service-kit";
import { createManualClock } from "@wherry/service-kit/testing";
import { enabledControllers } from "./controller-manager.ts";
import {
  controllerManagerConfig,
  controllerManagerRunOf,
  createControllerManager,
} from "./index.ts";

test("controllers are named as upstream names them", () => {
  const known = ["a-controller", "b-controller", "c-controller"];
  assert.deepEqual(enabledControllers(["*"], known), known);
  assert.deepEqual(enabledControllers(["*", "-b-controller"], known), [
    "a-controller",
    "c-controller",
  ]);
  assert.deepEqual(enabledControllers(["c-controller"], known), ["c-controller"]);
  assert.throws(
    () => enabledControllers(["*", "-x"], known),
    /--controllers: there is no controller "x"; there are a-controller/,
  );
});

test("flags become a configuration, and a wrong one is named", () => {
  const run = controllerManagerRunOf({
    kubeconfig: "f",
    "cluster-cidr": "10.9.0.0/16",
    "leader-elect": true,
    "leader-elect-lease-duration": "1m",
  });
  assert.deepEqual(
    [
      run.config.clusterCidr,
      run.config.concurrency,
      run.config.leaderElection?.leaseDurationMs,
      run.config.leaderElection?.name,
    ],
    ["10.9.0.0/16", 5, 60_000, "kube-controller-manager"],
  );
  assert.equal(controllerManagerRunOf({ kubeconfig: "f" }).config.leaderElection, undefined);
  assert.throws(() => controllerManagerRunOf({}), UsageError);
  assert.throws(
    () =>
      controllerManagerRunOf({
        kubeconfig: "f",
        "leader-elect": true,
        "leader-elect-lease-duration": "soon",
      }),
    /--leader-elect-lease-duration must be a duration/,
  );
  assert.throws(
    () =>
      controllerManagerRunOf({
        kubeconfig: "f",
        "leader-elect": true,
        "leader-elect-lease-duration": "5s",
      }),
    /leaderElection.renewDeadlineMs: must be shorter/,
  );
});

test("of two candidates one works, and the other goes on when it has stopped", async () => {
  const clock = createManualClock();
  const api = createMemoryApi({ clock });
  const candidate = (identity: string) =>
    createControllerManager(
      parseConfig(controllerManagerConfig, {
        controllers: ["deployment-controller", "replicaset-controller"],
        leaderElection: { identity },
      }),
      { api: api.client, clock, log: silentLogger, metrics: createNullMetrics() },
    );
  const [first, second] = [candidate("first"), candidate("second")];
  await first.start(new AbortController().signal);
  await clock.advance(100);
  await second.start(new AbortController().signal);
  await clock.advance(5_000);
  const holder = () =>
    api.get<Lease>(resources.leases, "kube-controller-manager", "kube-system")?.spec
      ?.holderIdentity;
  assert.equal(holder(), "first");
  const watchesOfOne = api.watches;
  const deployment: Deployment = {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: "web", namespace: "default" },
    spec: {
      replicas: 2,
      selector: { matchLabels: { app: "web" } },
      template: { metadata: { labels: { app: "web" } }, spec: { containers: [] } },
    },
  };
  await api.client.create(resources.deployments, deployment);
  await clock.advance(1_000);
  assert.equal(api.list<Pod>(resources.pods).length, 2);
  const stopping = first.stop(new AbortController().signal);
  await clock.advance(20_000);
  await stopping;
  await first.done;
  assert.equal(holder(), "second");
  await api.client.patch(resources.deployments, "web", "default", "merge", {
    spec: { replicas: 3 },
  });
  await clock.advance(1_000);
  assert.equal(api.list<Pod>(resources.pods).length, 3);
  assert.equal(api.watches, watchesOfOne);
  const ending = second.stop(new AbortController().signal);
  await clock.advance(1_000);
  await ending;
  assert.equal(api.watches, 0);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { resources } from "@wherry/client";
import type { KubeObject } from "@wherry/machinery";
import {
  createAttributesClassProtection,
  createClaimProtection,
  createVolumeProtection,
} from "./storage-protection.ts";
import { startControllers, testPod } from "./testing/controller-setup.ts";

const claim = (name: string): KubeObject => ({
  apiVersion: "v1",
  kind: "PersistentVolumeClaim",
  metadata: { name, namespace: "default" },
});
const volume = (name: string): KubeObject => ({
  apiVersion: "v1",
  kind: "PersistentVolume",
  metadata: { name },
});

test("a claim stays while a pod on a node has it, and goes with the last one", async () => {
  for (const seed of [1, 2, 3]) {
    const user = testPod("user", {
      spec: {
        volumes: [
          { name: "data", persistentVolumeClaim: { claimName: "used" } },
          { name: "tmp", ephemeral: {} },
        ],
      },
    });
    const pending = testPod("pending", {
      spec: {
        nodeName: "",
        volumes: [{ name: "data", persistentVolumeClaim: { claimName: "free" } }],
      },
    });
    const setup = await startControllers((context) => [createClaimProtection(context)], {
      seed: [claim("used"), claim("free"), claim("user-tmp"), user, pending],
      watchLag: { seed, maxMs: 300 },
    });
    const { api, settle } = setup;
    const left = (): readonly string[] =>
      api
        .list(resources.persistentVolumeClaims)
        .map(({ metadata }) => metadata.name ?? "")
        .sort();
    await settle(2_000);
    assert.deepEqual(
      api.get(resources.persistentVolumeClaims, "used", "default")?.metadata.finalizers,
      ["kubernetes.io/pvc-protection"],
    );
    for (const name of ["used", "free", "user-tmp"])
      await api.client.delete(resources.persistentVolumeClaims, name, "default");
    await settle(5_000);
    assert.deepEqual(left(), ["used", "user-tmp"]);
    await api.client.delete(resources.pods, "user", "default", { gracePeriodSeconds: 0 });
    await settle(5_000);
    assert.deepEqual(left(), []);
    await setup.stop();
  }
});

test("a volume stays while it is bound", async () => {
  const setup = await startControllers((context) => [createVolumeProtection(context)], {
    seed: [volume("bound"), volume("free")],
  });
  const { api, settle } = setup;
  await api.client.patch(
    resources.persistentVolumes,
    "bound",
    undefined,
    "merge",
    { status: { phase: "Bound" } },
    { subresource: "status" },
  );
  for (const name of ["bound", "free"]) await api.client.delete(resources.persistentVolumes, name);
  await settle(1_000);
  assert.deepEqual(
    api.list(resources.persistentVolumes).map(({ metadata }) => metadata.name),
    ["bound"],
  );
  await api.client.patch(
    resources.persistentVolumes,
    "bound",
    undefined,
    "merge",
    { status: { phase: "Released" } },
    { subresource: "status" },
  );
  await settle(1_000);
  assert.deepEqual(api.list(resources.persistentVolumes), []);
  await setup.stop();
});

test("a class of volume attributes stays while a claim names it", async () => {
  const gold: KubeObject = {
    apiVersion: "storage.k8s.io/v1",
    kind: "VolumeAttributesClass",
    metadata: { name: "gold" },
  };
  const setup = await startControllers((context) => [createAttributesClassProtection(context)], {
    seed: [gold, { ...claim("c"), spec: { volumeAttributesClassName: "gold" } } as KubeObject],
  });
  const { api, settle } = setup;
  await api.client.delete(resources.volumeAttributesClasses, "gold");
  await settle(1_000);
  assert.ok(api.get(resources.volumeAttributesClasses, "gold"));
  await api.client.delete(resources.persistentVolumeClaims, "c", "default");
  await settle(1_000);
  assert.equal(api.get(resources.volumeAttributesClasses, "gold"), undefined);
  await setup.stop();
});

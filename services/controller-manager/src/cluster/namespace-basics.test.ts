import assert from "node:assert/strict";
import { test } from "node:test";
import { resources } from "@wherry/client";
import type { ConfigMap } from "@wherry/machinery";
import { createRootCaPublisher, planRootCa } from "./root-ca-publisher.ts";
import { createServiceAccountController } from "./service-account-controller.ts";
import { startControllers, testNamespace } from "./testing/controller-setup.ts";

const rootCaPem = "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n";

test("every active namespace has its service account and CA, and gets them back when they are taken away", async () => {
  for (const seed of [1, 2, 3]) {
    const { api, settle, stop } = await startControllers(
      (context) => [
        createServiceAccountController(context),
        createRootCaPublisher(context, { rootCaPem }),
      ],
      {
        seed: [testNamespace("a")],
        watchLag: { seed, maxMs: 500 },
      },
    );
    await api.client.create(resources.namespaces, { metadata: { name: "b" } });
    await settle(5_000);
    for (const namespace of ["a", "b"]) {
      assert.ok(api.get(resources.serviceAccounts, "default", namespace), namespace);
      assert.deepEqual(
        api.get<ConfigMap>(resources.configMaps, "kube-root-ca.crt", namespace)?.data,
        { "ca.crt": rootCaPem },
      );
    }
    await api.client.delete(resources.serviceAccounts, "default", "a");
    await api.client.delete(resources.configMaps, "kube-root-ca.crt", "a");
    await api.client.patch(resources.configMaps, "kube-root-ca.crt", "b", "merge", {
      data: { "ca.crt": "forged", more: "x" },
    });
    await settle(5_000);
    assert.ok(api.get(resources.serviceAccounts, "default", "a"));
    assert.ok(api.get(resources.configMaps, "kube-root-ca.crt", "a"));
    assert.deepEqual(api.get<ConfigMap>(resources.configMaps, "kube-root-ca.crt", "b")?.data, {
      "ca.crt": rootCaPem,
    });
    await stop();
  }
});

test("a namespace that is being deleted gets nothing new", async () => {
  const { api, settle, stop } = await startControllers(
    (context) => [
      createServiceAccountController(context),
      createRootCaPublisher(context, { rootCaPem }),
    ],
    { seed: [testNamespace("a")] },
  );
  await api.client.delete(resources.namespaces, "a");
  await settle();
  await api.client.delete(resources.serviceAccounts, "default", "a");
  await api.client.delete(resources.configMaps, "kube-root-ca.crt", "a");
  await settle(1_000);
  assert.equal(api.get(resources.serviceAccounts, "default", "a"), undefined);
  assert.equal(api.get(resources.configMaps, "kube-root-ca.crt", "a"), undefined);
  await stop();
});

test("the published CA says what it is for, and a right one is left alone", () => {
  const made = planRootCa("a", rootCaPem, undefined);
  assert.match(
    made?.metadata.annotations?.["kubernetes.io/description"] ?? "",
    /^Contains a CA bundle that can be used to verify the kube-apiserver/,
  );
  assert.equal(planRootCa("a", rootCaPem, made), undefined);
});

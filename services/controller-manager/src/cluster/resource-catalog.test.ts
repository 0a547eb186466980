import assert from "node:assert/strict";
import { test } from "node:test";
import { createApiClient } from "@wherry/client";
import { readCatalog } from "./resource-catalog.ts";

const resource = (name: string, kind: string, namespaced = true): object => ({
  name,
  kind,
  namespaced,
  verbs: ["delete", "list", "watch"],
});
const documents: Readonly<Record<string, object>> = {
  "/api": { versions: ["v1"] },
  "/apis": {
    groups: [
      {
        name: "autoscaling",
        versions: [{ groupVersion: "autoscaling/v1" }, { groupVersion: "autoscaling/v2" }],
        preferredVersion: { groupVersion: "autoscaling/v2" },
      },
      {
        name: "metrics.k8s.io",
        versions: [{ groupVersion: "metrics.k8s.io/v1beta1" }],
        preferredVersion: { groupVersion: "metrics.k8s.io/v1beta1" },
      },
    ],
  },
  "/api/v1": {
    resources: [
      resource("pods", "Pod"),
      resource("pods/log", "Pod"),
      resource("nodes", "Node", false),
    ],
  },
  "/apis/autoscaling/v1": {
    resources: [
      resource("horizontalpodautoscalers", "HorizontalPodAutoscaler"),
      resource("olds", "Old"),
    ],
  },
  "/apis/autoscaling/v2": {
    resources: [resource("horizontalpodautoscalers", "HorizontalPodAutoscaler")],
  },
};
const api = createApiClient({
  roundTrip(request) {
    const document = documents[request.path];
    const body = JSON.stringify(
      document ?? {
        kind: "Status",
        apiVersion: "v1",
        status: "Failure",
        message: "the server is currently unable to handle the request",
        reason: "ServiceUnavailable",
        code: 503,
      },
    );
    return Promise.resolve({
      status: document === undefined ? 503 : 200,
      headers: { "content-type": "application/json" },
      body: chunks(body),
    });
  },
});

async function* chunks(text: string): AsyncGenerator<Uint8Array> {
  yield await Promise.resolve(Buffer.from(text));
}

test("each resource is there once, in the preferred version that has it, without subresources", async () => {
  const catalog = await readCatalog(api);
  assert.deepEqual(
    catalog.resources.map(({ group, version, resource, namespaced }) => [
      group,
      version,
      resource,
      namespaced,
    ]),
    [
      ["", "v1", "pods", true],
      ["", "v1", "nodes", false],
      ["autoscaling", "v2", "horizontalpodautoscalers", true],
      ["autoscaling", "v1", "olds", true],
    ],
  );
});

test("kinds are found in every served version, and a group that does not answer is noted", async () => {
  const catalog = await readCatalog(api);
  assert.equal(catalog.byKind("autoscaling/v1", "HorizontalPodAutoscaler")?.version, "v1");
  assert.equal(catalog.byKind("v1", "Pod")?.resource, "pods");
  assert.equal(catalog.byKind("v2", "Pod"), undefined);
  assert.deepEqual(
    [...catalog.failures],
    [["metrics.k8s.io/v1beta1", "the server is currently unable to handle the request"]],
  );
});

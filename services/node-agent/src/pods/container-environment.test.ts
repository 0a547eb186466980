import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Pod, Service } from "@wherry/machinery";
import { containerEnvironment, ContainerConfigError } from "./environment.ts";
import type { EnvironmentSources } from "./environment.ts";
import { expandVariables } from "./expansion.ts";
import { resolveResourceFieldRef } from "./field-reference.ts";
import type { PodFacts } from "./field-reference.ts";
import type { ContainerSpec } from "./pod-types.ts";
import { serviceEnvironment } from "./service-links.ts";

const facts: PodFacts = {
  podIps: ["10.42.0.3"],
  hostIps: ["192.0.2.1"],
  allocatable: { cpu: 4_000, memory: 1_000_000 },
};
const pod: Pod = {
  metadata: { name: "p", namespace: "ns", uid: "u", labels: { app: "web" } },
  spec: { containers: [], nodeName: "n", serviceAccountName: "sa" },
};

async function environment(
  container: Partial<ContainerSpec>,
  more: Partial<EnvironmentSources> = {},
): Promise<Readonly<Record<string, string>>> {
  const list = await containerEnvironment(
    pod,
    { name: "app", ...container },
    {
      configMap: async () => undefined,
      secret: async () => undefined,
      services: new Map(),
      facts,
      ...more,
    },
  );
  return Object.fromEntries(list.map((one) => [one.key, one.value]));
}

describe("variable expansion", () => {
  const table: readonly [string, string][] = [
    ["$(A)", "1"],
    ["x$(A)y$(B)", "x1y2"],
    ["$$(A)", "$(A)"],
    ["$$$(A)", "$1"],
    ["$(UNKNOWN)", "$(UNKNOWN)"],
    ["$(A", "$(A"],
    ["$A $", "$A $"],
    ["$()", "$()"],
  ];
  for (const [text, expected] of table) {
    it(`turns ${text} into ${expected}`, () => {
      assert.equal(
        expandVariables(text, (name) => ({ A: "1", B: "2" })[name]),
        expected,
      );
    });
  }
});

describe("container environment", () => {
  it("lets later variables refer to earlier ones and to services", async () => {
    const env = [
      { name: "HOST", value: "$(API_SERVICE_HOST)" },
      { name: "URL", value: "http://$(HOST):80/$(LATER)" },
      { name: "LATER", value: "x" },
    ];
    const result = await environment(
      { env },
      { services: new Map([["API_SERVICE_HOST", "10.43.0.5"]]) },
    );
    assert.equal(result["URL"], "http://10.43.0.5:80/$(LATER)");
    assert.equal(result["API_SERVICE_HOST"], "10.43.0.5");
  });

  it("takes whole configMaps and secrets with a prefix, and lets env win", async () => {
    const result = await environment(
      {
        envFrom: [{ prefix: "C_", configMapRef: { name: "c" } }, { secretRef: { name: "s" } }],
        env: [{ name: "C_a", value: "own" }],
      },
      {
        configMap: async () => ({ metadata: {}, data: { a: "1", b: "2" } }),
        secret: async () => ({
          metadata: {},
          data: { token: Buffer.from("secret").toString("base64") },
        }),
      },
    );
    assert.deepEqual(result, { C_a: "own", C_b: "2", token: "secret" });
  });

  it("leaves optional sources out and names missing ones", async () => {
    assert.deepEqual(
      await environment({
        env: [
          { name: "A", valueFrom: { configMapKeyRef: { name: "c", key: "k", optional: true } } },
        ],
      }),
      {},
    );
    await assert.rejects(
      environment({ env: [{ name: "A", valueFrom: { secretKeyRef: { name: "s", key: "k" } } }] }),
      new ContainerConfigError('secret "s" not found'),
    );
    const configMap = async () => ({ metadata: {}, data: {} });
    await assert.rejects(
      environment(
        { env: [{ name: "A", valueFrom: { configMapKeyRef: { name: "c", key: "k" } } }] },
        { configMap },
      ),
      new ContainerConfigError("couldn't find key k in ConfigMap ns/c"),
    );
  });

  it("knows the fields of the pod", async () => {
    const paths = [
      "metadata.name",
      "metadata.namespace",
      "metadata.uid",
      "metadata.labels['app']",
      "spec.nodeName",
      "spec.serviceAccountName",
      "status.podIP",
      "status.hostIP",
    ];
    const env = paths.map((fieldPath, index) => ({
      name: `V${index}`,
      valueFrom: { fieldRef: { fieldPath } },
    }));
    assert.deepEqual(Object.values(await environment({ env })), [
      "p",
      "ns",
      "u",
      "web",
      "n",
      "sa",
      "10.42.0.3",
      "192.0.2.1",
    ]);
  });

  it("divides resources and rounds up, with the node's amount for limits that are not set", () => {
    const owner: ContainerSpec = {
      name: "app",
      resources: { limits: { cpu: "1500m", memory: "100Mi" } },
    };
    const value = (resource: string, divisor?: string): string =>
      resolveResourceFieldRef(
        pod,
        { resource, ...(divisor === undefined ? {} : { divisor }) },
        owner,
        facts,
      );
    assert.equal(value("limits.cpu"), "2");
    assert.equal(value("limits.cpu", "1m"), "1500");
    assert.equal(value("limits.memory", "1Mi"), "100");
    assert.equal(value("requests.cpu"), "0");
    assert.equal(
      resolveResourceFieldRef(pod, { resource: "limits.memory" }, { name: "app" }, facts),
      "1000000",
    );
  });
});

describe("service variables", () => {
  const service = (name: string, namespace: string, clusterIP: string): Service => ({
    metadata: { name, namespace },
    spec: { clusterIP, ports: [{ name: "http-alt", port: 8080, protocol: "TCP" }] },
  });
  const all = [
    service("kubernetes", "default", "10.43.0.1"),
    service("my-api", "ns", "10.43.0.7"),
    service("headless", "ns", "None"),
    service("other", "elsewhere", "10.43.0.8"),
  ];

  it("name the namespace's services and the API server", () => {
    const variables = Object.fromEntries(serviceEnvironment(all, "ns", true));
    assert.equal(variables["KUBERNETES_SERVICE_HOST"], "10.43.0.1");
    assert.equal(variables["MY_API_SERVICE_HOST"], "10.43.0.7");
    assert.equal(variables["MY_API_SERVICE_PORT_HTTP_ALT"], "8080");
    assert.equal(variables["MY_API_PORT"], "tcp://10.43.0.7:8080");
    assert.equal(variables["MY_API_PORT_8080_TCP_ADDR"], "10.43.0.7");
    assert.ok(
      !Object.keys(variables).some(
        (name) => name.startsWith("HEADLESS") || name.startsWith("OTHER"),
      ),
    );
  });

  it("are only the API server's when links are off", () => {
    const names = [...serviceEnvironment(all, "ns", false).keys()];
    assert.ok(names.every((name) => name.startsWith("KUBERNETES_")));
  });
});

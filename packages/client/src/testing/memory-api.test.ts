import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Namespace, Node, Pod } from "@wherry/machinery";
import { createManualClock } from "@wherry/service-kit/testing";
import { resources } from "../resources.ts";
import { createMemoryApi } from "./memory-api.ts";
import { runTransportContract } from "./transport-contract.ts";

runTransportContract("memory API", async () => ({ transport: createMemoryApi() }));

const pod = (name: string, nodeName?: string): Pod => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name, namespace: "default" },
  spec: {
    containers: [{ name: "c", image: "i" }],
    ...(nodeName === undefined ? {} : { nodeName }),
  },
});

describe("memory API", () => {
  test("binds a pod once", async () => {
    const api = createMemoryApi();
    await api.client.create(resources.pods, pod("a"));
    const binding = {
      apiVersion: "v1",
      kind: "Binding",
      metadata: { name: "a" },
      target: { kind: "Node", name: "n1" },
    };
    await api.client.createSubresource(resources.pods, "a", "default", "binding", binding);
    const bound = api.get<Pod>(resources.pods, "a", "default");
    assert.equal(bound?.spec.nodeName, "n1");
    assert.equal(bound?.status?.phase, "Pending");
    assert.deepEqual(
      bound?.status?.conditions?.map(({ type, status }) => [type, status]),
      [["PodScheduled", "True"]],
    );
    await assert.rejects(
      api.client.createSubresource(resources.pods, "a", "default", "binding", binding),
      {
        message:
          'Operation cannot be fulfilled on pods/binding "a": pod a is already assigned to node "n1"',
      },
    );
  });

  test("gives a bound pod its grace period and an unbound one none", async () => {
    const clock = createManualClock(Date.UTC(2026, 0, 1));
    const api = createMemoryApi({ clock });
    api.seed(pod("bound", "n1"), pod("free"));
    await api.client.delete(resources.pods, "free", "default");
    assert.equal(api.get(resources.pods, "free", "default"), undefined);
    await api.client.delete(resources.pods, "bound", "default");
    const dying = api.get<Pod>(resources.pods, "bound", "default");
    assert.equal(dying?.metadata.deletionTimestamp, "2026-01-01T00:00:30Z");
    assert.equal(dying?.metadata.deletionGracePeriodSeconds, 30);
    await api.client.delete(resources.pods, "bound", "default", { gracePeriodSeconds: 0 });
    assert.equal(api.get(resources.pods, "bound", "default"), undefined);
  });

  test("keeps a namespace until it is finalized", async () => {
    const api = createMemoryApi();
    await api.client.create<Namespace>(resources.namespaces, {
      apiVersion: "v1",
      kind: "Namespace",
      metadata: { name: "n" },
      spec: {},
    });
    await api.client.delete(resources.namespaces, "n");
    const terminating = api.get<Namespace>(resources.namespaces, "n");
    assert.equal(terminating?.status?.phase, "Terminating");
    assert.ok(terminating);
    await api.client.update(
      resources.namespaces,
      { ...terminating, spec: { finalizers: [] } },
      { subresource: "finalize" },
    );
    assert.equal(api.get(resources.namespaces, "n"), undefined);
  });

  test("scales by the scale subresource", async () => {
    const api = createMemoryApi();
    api.seed({
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name: "web", namespace: "default" },
      spec: { replicas: 1, selector: { matchLabels: { app: "web" } }, template: {} },
    } as never);
    const patch = { spec: { replicas: 4 } };
    await api.client.patch(resources.deployments, "web", "default", "merge", patch, {
      subresource: "scale",
    });
    assert.equal(
      api.get<{ spec: { replicas: number }; metadata: object }>(
        resources.deployments,
        "web",
        "default",
      )?.spec.replicas,
      4,
    );
  });

  test("selects pods by node", async () => {
    const api = createMemoryApi();
    api.seed(pod("a", "n1"), pod("b", "n2"), pod("c"));
    const on = async (fieldSelector: string): Promise<number> =>
      (await api.client.list(resources.pods, { fieldSelector })).items.length;
    assert.equal(await on("spec.nodeName=n1"), 1);
    assert.equal(await on("spec.nodeName="), 1);
    assert.equal(await on("spec.nodeName!=n1"), 2);
  });

  test("answers a watch from before a compaction with 410", async () => {
    const api = createMemoryApi();
    api.seed(pod("a"));
    api.compact();
    const events = api.client.watch(resources.pods, { resourceVersion: "1" });
    await assert.rejects(events[Symbol.asyncIterator]().next(), {
      name: "ApiError",
      code: 410,
      reason: "Expired",
    });
  });

  test("breaks watches off and sends bookmarks when told", async () => {
    const api = createMemoryApi();
    const watch = api.client.watch(resources.pods, {
      resourceVersion: "1",
      allowWatchBookmarks: true,
    });
    const events = watch[Symbol.asyncIterator]();
    const first = events.next();
    await settled();
    api.sendBookmarks();
    assert.equal((await first).value?.type, "BOOKMARK");
    const second = events.next();
    api.breakWatches();
    await assert.rejects(second, { name: "TransportError", code: "interrupted" });
    assert.equal(api.watches, 0);
  });

  test("delays events by a reproducible lag without changing their order", async () => {
    const run = async (): Promise<readonly string[]> => {
      const clock = createManualClock();
      const api = createMemoryApi({ clock, watchLag: { seed: 7, maxMs: 1000 } });
      const seen: string[] = [];
      const abort = new AbortController();
      const reading = (async () => {
        for await (const event of api.client.watch<Node>(resources.nodes, {
          resourceVersion: "1",
          signal: abort.signal,
        })) {
          seen.push(`${event.object.metadata.name ?? ""}@${clock.monotonic()}`);
        }
      })();
      await clock.advance(0);
      for (let index = 0; index < 5; index += 1) {
        api.seed({ apiVersion: "v1", kind: "Node", metadata: { name: `n${index}` } });
      }
      for (let step = 0; step < 100; step += 1) await clock.advance(10);
      abort.abort();
      await assert.rejects(reading, { code: "aborted" });
      return seen;
    };
    const first = await run();
    assert.deepEqual(
      first.map((entry) => entry.split("@")[0]),
      ["n0", "n1", "n2", "n3", "n4"],
    );
    assert.ok(first.some((entry) => !entry.endsWith("@0")));
    assert.deepEqual(await run(), first);
  });

  test("lets a test make requests fail", async () => {
    const api = createMemoryApi();
    const remove = api.intercept((request) =>
      request.method === "GET" ? new Error("ECONNREFUSED") : undefined,
    );
    await assert.rejects(api.client.list(resources.pods), {
      name: "TransportError",
      code: "unreachable",
    });
    remove();
    await api.client.list(resources.pods);
    assert.deepEqual(api.requests, ["GET /api/v1/pods", "GET /api/v1/pods"]);
  });
});

async function settled(): Promise<void> {
  await new Promise<void>((resolve) => {
    setImmediate(resolve);
  });
}

import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import fc from "fast-check";
import type { ConfigMap, Pod } from "@wherry/machinery";
import { silentLogger, type Logger } from "@wherry/service-kit";
import { createManualClock, type ManualClock } from "@wherry/service-kit/testing";
import { createInformerFactory, type InformerFactory } from "./informer-factory.ts";
import type { InformerHandler } from "./informer.ts";
import { resources } from "./resources.ts";
import { createMemoryApi, type MemoryApi } from "./testing/memory-api.ts";

const open: InformerFactory[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((factory) => factory.stop()));
});

interface Setup {
  readonly api: MemoryApi;
  readonly clock: ManualClock;
  readonly factory: InformerFactory;
}

function setUp(
  options: {
    readonly watchLag?: { readonly seed: number; readonly maxMs: number };
    readonly log?: Logger;
  } = {},
): Setup {
  const clock = createManualClock();
  const api = createMemoryApi({
    clock,
    ...(options.watchLag === undefined ? {} : { watchLag: options.watchLag }),
  });
  const factory = createInformerFactory({
    client: api.client,
    clock,
    log: options.log ?? silentLogger,
    random: () => 0.5,
  });
  open.push(factory);
  return { api, clock, factory };
}

function configMap(
  name: string,
  data: Record<string, string> = {},
  labels: Record<string, string> = {},
): ConfigMap {
  return {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name, namespace: "default", labels },
    data,
  };
}

function recorder(): InformerHandler<ConfigMap> & { readonly log: string[] } {
  const log: string[] = [];
  return {
    log,
    onAdd: (object) => log.push(`+${object.metadata.name ?? ""}`),
    onUpdate: (object, previous) =>
      log.push(
        `~${object.metadata.name ?? ""} ${previous.data?.["v"] ?? ""}>${object.data?.["v"] ?? ""}`,
      ),
    onDelete: (object) => log.push(`-${object.metadata.name ?? ""}`),
  };
}

describe("informer", () => {
  test("keeps metadata alone when asked to, beside an informer of whole objects", async () => {
    const { api, clock, factory } = setUp();
    const accepts: string[] = [];
    api.intercept(({ headers }) => void accepts.push(headers?.["accept"] ?? ""));
    api.seed({
      ...configMap("a", { v: "1" }),
      metadata: { name: "a", namespace: "default", managedFields: [{ manager: "m" }] },
    });
    const whole = factory.informer<ConfigMap>(resources.configMaps);
    const partial = factory.informer<ConfigMap>(resources.configMaps, { metadataOnly: true });
    factory.start();
    await clock.advance(0);
    await api.client.create(resources.configMaps, configMap("b", { v: "2" }));
    await clock.advance(0);
    assert.equal(whole.store.get("default/a")?.data?.["v"], "1");
    for (const name of ["a", "b"]) {
      const object = partial.store.get(`default/${name}`);
      assert.deepEqual(Object.keys(object ?? {}).sort(), ["apiVersion", "kind", "metadata"]);
      assert.equal(object?.kind, "ConfigMap");
      assert.equal(object?.metadata.managedFields, undefined);
    }
    assert.ok(
      accepts.includes(
        "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1, application/json",
      ),
    );
    assert.ok(
      accepts.includes(
        "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1, application/json",
      ),
    );
  });

  test("lists, then follows the watch", async () => {
    const { api, clock, factory } = setUp();
    api.seed(configMap("a", { v: "1" }));
    const informer = factory.informer<ConfigMap>(resources.configMaps);
    const seen = recorder();
    informer.subscribe(seen);
    assert.equal(informer.synced, false);
    assert.deepEqual(api.requests, [], "nothing is opened before the start");
    factory.start();
    await clock.advance(0);
    await informer.whenSynced();
    assert.equal(informer.synced, true);
    await api.client.create(resources.configMaps, configMap("b"));
    await api.client.update(resources.configMaps, configMap("a", { v: "2" }));
    await api.client.delete(resources.configMaps, "b", "default");
    await clock.advance(0);
    assert.deepEqual(seen.log, ["+a", "+b", "~a 1>2", "-b"]);
    assert.deepEqual(informer.store.get("default/a")?.data, { v: "2" });
    assert.equal(informer.store.get("default/a")?.kind, "ConfigMap");
    assert.equal(informer.store.size, 1);
  });

  test("gives list items their kind and apiVersion", async () => {
    const { api, clock, factory } = setUp();
    api.seed(configMap("a"));
    const informer = factory.informer<ConfigMap>(resources.configMaps);
    factory.start();
    await clock.advance(0);
    assert.equal(informer.store.get("default/a")?.kind, "ConfigMap");
    assert.equal(informer.store.get("default/a")?.apiVersion, "v1");
  });

  test("replays the store to a late handler before it sees changes", async () => {
    const { api, clock, factory } = setUp();
    api.seed(configMap("a", { v: "1" }), configMap("b"));
    const informer = factory.informer<ConfigMap>(resources.configMaps);
    factory.start();
    await clock.advance(0);
    const late = recorder();
    informer.subscribe(late);
    const writing = api.client.update(resources.configMaps, configMap("a", { v: "2" }));
    assert.deepEqual(late.log, [], "delivery is asynchronous");
    await writing;
    await clock.advance(0);
    assert.deepEqual(late.log, ["+a", "+b", "~a 1>2"]);
  });

  test("stops calling a handler that has left", async () => {
    const { api, clock, factory } = setUp();
    const informer = factory.informer<ConfigMap>(resources.configMaps);
    const seen = recorder();
    const leave = informer.subscribe(seen);
    factory.start();
    await clock.advance(0);
    leave();
    await api.client.create(resources.configMaps, configMap("a"));
    await clock.advance(0);
    assert.deepEqual(seen.log, []);
  });

  test("goes on when a handler throws", async () => {
    const errors: string[] = [];
    const log: Logger = {
      ...silentLogger,
      error: (...args: unknown[]) => errors.push(String(args.at(-1))),
      child: () => log,
    };
    const { api, clock, factory } = setUp({ log });
    const informer = factory.informer<ConfigMap>(resources.configMaps);
    const seen = recorder();
    informer.subscribe({
      onAdd() {
        throw new Error("broken handler");
      },
    });
    informer.subscribe(seen);
    api.seed(configMap("a"), configMap("b"));
    factory.start();
    await clock.advance(0);
    assert.deepEqual(seen.log, ["+a", "+b"]);
    assert.deepEqual(errors, ["informer handler failed", "informer handler failed"]);
  });

  test("shares one informer among equal selections and adds up their indexes", async () => {
    const { api, clock, factory } = setUp();
    const byNode = (pod: Pod): readonly string[] => [pod.spec.nodeName ?? ""];
    const first = factory.informer<Pod>(resources.pods, { indexes: { node: byNode } });
    const second = factory.informer<Pod>(resources.pods, {
      indexes: { owner: (pod) => (pod.metadata.ownerReferences ?? []).map((owner) => owner.uid) },
    });
    const other = factory.informer<Pod>(resources.pods, { fieldSelector: "spec.nodeName=n1" });
    assert.equal(first, second);
    assert.notEqual(first, other);
    const pod = (name: string, nodeName: string): Pod => ({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name, namespace: "default" },
      spec: { nodeName, containers: [] },
    });
    api.seed(pod("a", "n1"), pod("b", "n2"), pod("c", "n1"));
    factory.start();
    await clock.advance(0);
    const names = (value: string): readonly (string | undefined)[] =>
      first.store.byIndex("node", value).map((one) => one.metadata.name);
    assert.deepEqual(names("n1"), ["a", "c"]);
    assert.deepEqual(
      other.store.list("default").map((one) => one.metadata.name),
      ["a", "c"],
    );
    api.seed(pod("c", "n2"));
    await api.client.delete(resources.pods, "a", "default", { gracePeriodSeconds: 0 });
    await clock.advance(0);
    assert.deepEqual(names("n1"), []);
    assert.deepEqual(names("n2"), ["b", "c"]);
    assert.deepEqual(second.store.byIndex("owner", "x"), []);
    assert.throws(() => first.store.byIndex("nope", "x"), /no index "nope"/);
    assert.equal(other.store.size, 0);
  });

  test("resumes a broken watch at the last version without listing", async () => {
    const { api, clock, factory } = setUp();
    const informer = factory.informer<ConfigMap>(resources.configMaps);
    const seen = recorder();
    informer.subscribe(seen);
    factory.start();
    await clock.advance(0);
    await api.client.create(resources.configMaps, configMap("a"));
    await clock.advance(0);
    api.breakWatches();
    await api.client.create(resources.configMaps, configMap("b"));
    await clock.advance(30_000);
    assert.deepEqual(seen.log, ["+a", "+b"]);
    assert.equal(
      api.requests.filter((request) => request.startsWith("GET") && !request.includes("watch"))
        .length,
      1,
    );
    assert.equal(api.watches, 1);
  });

  test("resumes at a bookmark, which keeps a quiet watch from growing too old", async () => {
    const { api, clock, factory } = setUp();
    const informer = factory.informer<ConfigMap>(resources.configMaps);
    factory.start();
    await clock.advance(0);
    for (let index = 0; index < 5; index += 1)
      api.seed({ apiVersion: "v1", kind: "Node", metadata: { name: `n${index}` } });
    api.sendBookmarks();
    await clock.advance(0);
    api.compact();
    api.breakWatches();
    await clock.advance(30_000);
    const lists = api.requests.filter((request) => request.includes("limit="));
    assert.equal(lists.length, 1, "no second list");
    assert.equal(informer.synced, true);
  });

  test("lists again after 410 and delivers only what differs", async () => {
    const { api, clock, factory } = setUp();
    api.seed(
      configMap("same"),
      configMap("changed", { v: "1" }),
      configMap("gone"),
      configMap("again"),
    );
    const informer = factory.informer<ConfigMap>(resources.configMaps);
    const seen = recorder();
    informer.subscribe(seen);
    factory.start();
    await clock.advance(0);
    seen.log.length = 0;
    const stopFailing = api.intercept((request) =>
      request.path.includes("watch=true") ? new Error("down") : undefined,
    );
    api.breakWatches();
    await api.client.update(resources.configMaps, configMap("changed", { v: "2" }));
    await api.client.delete(resources.configMaps, "gone", "default");
    await api.client.delete(resources.configMaps, "again", "default");
    await api.client.create(resources.configMaps, configMap("again"));
    await api.client.create(resources.configMaps, configMap("new"));
    api.compact();
    stopFailing();
    await clock.advance(60_000);
    assert.deepEqual(
      seen.log.toSorted(),
      ["+again", "+new", "-again", "-gone", "~changed 1>2"].toSorted(),
    );
    assert.ok(
      seen.log.indexOf("-again") < seen.log.indexOf("+again"),
      "a new object of an old name is not an update",
    );
  });

  test("tries again with growing pauses of at most 30 s", async () => {
    const { api, clock, factory } = setUp();
    const times: number[] = [];
    api.intercept(() => {
      times.push(clock.monotonic());
      return new Error("down");
    });
    factory.informer(resources.configMaps);
    factory.start();
    await clock.advance(300_000);
    const pauses = times.slice(1).map((time, index) => time - (times[index] ?? 0));
    assert.deepEqual(pauses.slice(0, 4), [1200, 2400, 4800, 9600]);
    assert.ok(pauses.slice(5).every((pause) => pause === 30_000));
  });

  test("pages through a long list", async () => {
    const { api, clock, factory } = setUp();
    for (let index = 0; index < 600; index += 1) api.seed(configMap(`m${index}`));
    const informer = factory.informer<ConfigMap>(resources.configMaps);
    factory.start();
    await clock.advance(0);
    await informer.whenSynced();
    assert.equal(informer.store.size, 600);
    assert.equal(api.requests.filter((request) => request.includes("limit=250")).length, 3);
  });

  test("gives up waiting for the sync when the signal aborts", async () => {
    const { factory } = setUp();
    factory.informer(resources.configMaps);
    await assert.rejects(factory.whenSynced(AbortSignal.abort(new Error("too late"))), {
      message: "too late",
    });
  });

  test("leaves no watch and no timer behind", async () => {
    const { api, clock, factory } = setUp();
    factory.informer(resources.configMaps);
    factory.start();
    await clock.advance(0);
    assert.equal(api.watches, 1);
    await factory.stop();
    assert.equal(api.watches, 0);
    assert.equal(clock.pending, 0);
  });

  test("ends up equal to the server whatever happens on the way", async () => {
    const action = fc.record({
      kind: fc.constantFrom(
        "write",
        "write",
        "write",
        "delete",
        "break",
        "compact",
        "bookmark",
        "wait",
      ),
      name: fc.constantFrom("a", "b", "c"),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(action, { maxLength: 30 }), fc.nat(), async (actions, seed) => {
        const { api, clock, factory } = setUp({ watchLag: { seed, maxMs: 500 } });
        const informer = factory.informer<ConfigMap>(resources.configMaps);
        const mirror = new Map<string, string | undefined>();
        informer.subscribe({
          onAdd(object) {
            assert.ok(!mirror.has(object.metadata.uid ?? ""), "an object is added once");
            mirror.set(object.metadata.uid ?? "", object.metadata.resourceVersion);
          },
          onUpdate(object, previous) {
            assert.equal(mirror.get(object.metadata.uid ?? ""), previous.metadata.resourceVersion);
            mirror.set(object.metadata.uid ?? "", object.metadata.resourceVersion);
          },
          onDelete(object) {
            assert.ok(mirror.delete(object.metadata.uid ?? ""), "only what was added is deleted");
          },
        });
        factory.start();
        let value = 0;
        for (const { kind, name } of actions) {
          value += 1;
          if (kind === "write") api.seed(configMap(name, { v: String(value) }));
          else if (kind === "delete")
            await api.client.delete(resources.configMaps, name, "default").catch(() => {});
          else if (kind === "break") api.breakWatches();
          else if (kind === "compact") api.compact();
          else if (kind === "bookmark") api.sendBookmarks();
          else await clock.advance(200);
        }
        await clock.advance(120_000);
        const versionOf = (object: ConfigMap): string => object.metadata.resourceVersion ?? "";
        const expected = api.list<ConfigMap>(resources.configMaps).map(versionOf).sort();
        assert.deepEqual(informer.store.list().map(versionOf).sort(), expected);
        assert.deepEqual([...mirror.values()].map(String).sort(), expected);
        await factory.stop();
      }),
      { numRuns: 40, seed: 1 },
    );
  });
});

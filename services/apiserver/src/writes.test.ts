/** CREATE, UPDATE, PATCH and DELETE through the whole chain; expected values follow upstream's behaviour. */
import { deepEqual, equal, match, notEqual, ok } from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { ask, configMap, startFixture, type Fixture } from "./testing/apiserver-fixture.ts";

const base = "/api/v1/namespaces/writes";
const maps = `${base}/configmaps`;

describe("writes", () => {
  let fixture: Fixture;
  before(async () => {
    fixture = await startFixture();
    await ask(fixture.admin, "POST", "/api/v1/namespaces", { metadata: { name: "writes" } });
    await ask(fixture.admin, "POST", `${base}/serviceaccounts`, { metadata: { name: "default" } });
  });
  after(() => fixture.close());
  const send: typeof ask extends (transport: never, ...rest: infer Rest) => infer Result
    ? (...rest: Rest) => Result
    : never = (...rest) => ask(fixture.admin, ...rest);
  const pod = (name: string, node?: string): object => ({
    metadata: { name },
    spec: {
      ...(node === undefined ? {} : { nodeName: node }),
      containers: [{ name: "c", image: "busybox" }],
    },
  });

  it("keeps the revision when an update changes nothing", async () => {
    const created = await send("POST", maps, configMap("same", { b: "1", a: "2" }));
    const again = await send("PUT", `${maps}/same`, configMap("same", { a: "2", b: "1" }));
    equal(again.json.metadata.resourceVersion, created.json.metadata.resourceVersion);
  });

  it("lets all of many concurrent patches through", async () => {
    await send("POST", maps, configMap("busy"));
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        send(
          "PATCH",
          `${maps}/busy`,
          { data: { [`k${index}`]: "x" } },
          { "content-type": "application/merge-patch+json" },
        ),
      ),
    );
    const lost = answers.filter(({ status }) => status === 409).length;
    deepEqual(
      [...new Set(answers.map(({ status }) => status))].filter(
        (status) => status !== 200 && status !== 409,
      ),
      [],
    );
    equal(Object.keys((await send("GET", `${maps}/busy`)).json.data as object).length, 20 - lost);
    ok(lost < 20);
  });

  it("creates on update where the kind allows it, and nowhere else", async () => {
    const lease = { metadata: { name: "l" }, spec: { holderIdentity: "me" } };
    equal(
      (await send("PUT", "/apis/coordination.k8s.io/v1/namespaces/writes/leases/l", lease)).status,
      201,
    );
    equal((await send("PUT", `${maps}/none`, configMap("none"))).status, 404);
  });

  it("demands a resourceVersion where unconditional updates are not allowed", async () => {
    const answer = await send("PUT", "/apis/coordination.k8s.io/v1/namespaces/writes/leases/l", {
      metadata: { name: "l" },
      spec: {},
    });
    equal(answer.status, 422);
    match(
      answer.json.message as string,
      /metadata.resourceVersion: Invalid value: 0: must be specified for an update/,
    );
  });

  it("refuses unknown fields when asked to, and warns of them otherwise", async () => {
    const body = { ...configMap("strict"), surprise: 1 };
    equal((await send("POST", `${maps}?fieldValidation=Strict`, body)).status, 400);
    const warned = await send("POST", maps, body);
    equal(warned.status, 201);
    equal(warned.headers["warning"], '299 - "unknown field \\"surprise\\""');
  });

  it("reads YAML bodies as Go does: octal numbers, yes and no", async () => {
    const text =
      "metadata: {name: yaml}\nspec:\n  containers: [{name: c, image: i}]\n  hostNetwork: yes\n  volumes: [{name: v, configMap: {name: x, defaultMode: 0644}}]\n";
    const answer = await send("POST", `${base}/pods?dryRun=All`, text, {
      "content-type": "application/yaml",
    });
    equal(answer.status, 201, answer.text);
    equal(answer.json.spec.hostNetwork, true);
    equal(answer.json.spec.volumes[0].configMap.defaultMode, 420);
  });

  it("refuses bodies over 3 MiB", async () => {
    const answer = await send("POST", maps, configMap("huge", { x: "y".repeat(3 * 1024 * 1024) }));
    equal(answer.status, 413);
    equal(answer.json.reason, "RequestEntityTooLarge");
  });

  it("deletes an unscheduled pod at once and gives a scheduled one its grace period", async () => {
    equal((await send("POST", `${base}/pods`, pod("loose"))).status, 201);
    const gone = await send("DELETE", `${base}/pods/loose`);
    equal(gone.json.kind, "Pod");
    equal(gone.json.metadata.deletionGracePeriodSeconds, 0);
    equal((await send("GET", `${base}/pods/loose`)).status, 404);

    equal((await send("POST", `${base}/pods`, pod("bound", "node-1"))).status, 201);
    const marked = await send("DELETE", `${base}/pods/bound`);
    equal(marked.json.metadata.deletionGracePeriodSeconds, 30);
    const shortened = await send("DELETE", `${base}/pods/bound`, { gracePeriodSeconds: 5 });
    equal(shortened.json.metadata.deletionGracePeriodSeconds, 5);
    equal((await send("DELETE", `${base}/pods/bound`)).json.metadata.deletionGracePeriodSeconds, 5);
    equal((await send("DELETE", `${base}/pods/bound`, { gracePeriodSeconds: 0 })).status, 200);
    equal((await send("GET", `${base}/pods/bound`)).status, 404);
  });

  it("marks for the garbage collector what is deleted with a policy", async () => {
    await send("POST", maps, configMap("owner"));
    const orphaned = await send("DELETE", `${maps}/owner`, { propagationPolicy: "Orphan" });
    deepEqual(orphaned.json.metadata.finalizers, ["orphan"]);
    ok(orphaned.json.metadata.deletionTimestamp);
    const foreground = await send("DELETE", `${maps}/owner`, { propagationPolicy: "Foreground" });
    deepEqual(foreground.json.metadata.finalizers, ["foregroundDeletion"]);
    await send(
      "PATCH",
      `${maps}/owner`,
      { metadata: { finalizers: null } },
      { "content-type": "application/merge-patch+json" },
    );
    equal((await send("GET", `${maps}/owner`)).status, 404);
  });

  it("deletes a collection by selector and answers what was there", async () => {
    await send("POST", maps, configMap("c1", {}, { sweep: "yes" }));
    await send("POST", maps, configMap("c2", {}, { sweep: "yes" }));
    const answer = await send("DELETE", `${maps}?labelSelector=sweep%3Dyes`);
    equal(answer.json.kind, "ConfigMapList");
    equal(answer.json.items.length, 2);
    equal((await send("GET", `${maps}?labelSelector=sweep%3Dyes`)).json.items.length, 0);
  });

  it("keeps a namespace until it was finalized", async () => {
    await send("POST", "/api/v1/namespaces", { metadata: { name: "going" } });
    const marked = await send("DELETE", "/api/v1/namespaces/going");
    equal(marked.json.status.phase, "Terminating");
    const { kind, apiVersion, metadata, spec } = (await send("GET", "/api/v1/namespaces/going"))
      .json;
    deepEqual(spec.finalizers, ["kubernetes"]);
    equal(
      (
        await send("PUT", "/api/v1/namespaces/going/finalize", {
          kind,
          apiVersion,
          metadata,
          spec: {},
        })
      ).status,
      200,
    );
    equal((await send("GET", "/api/v1/namespaces/going")).status, 404);
  });

  it("raises the generation with the spec and not with the status", async () => {
    const deployment = {
      metadata: { name: "d" },
      spec: {
        selector: { matchLabels: { a: "b" } },
        template: {
          metadata: { labels: { a: "b" } },
          spec: { containers: [{ name: "c", image: "x" }] },
        },
      },
    };
    const path = "/apis/apps/v1/namespaces/writes/deployments";
    equal((await send("POST", path, deployment)).json.metadata.generation, 1);
    const scaled = await send(
      "PATCH",
      `${path}/d`,
      { spec: { replicas: 3 } },
      { "content-type": "application/strategic-merge-patch+json" },
    );
    equal(scaled.json.metadata.generation, 2);
    const reported = await send(
      "PATCH",
      `${path}/d/status`,
      { status: { replicas: 1 }, spec: { replicas: 9 } },
      { "content-type": "application/merge-patch+json" },
    );
    equal(reported.json.metadata.generation, 2);
    equal(reported.json.spec.replicas, 3);
    equal(reported.json.status.replicas, 1);
  });

  it("serves one kind in two versions from one place", async () => {
    const event = {
      metadata: { name: "e" },
      involvedObject: { kind: "Pod", name: "p", namespace: "writes" },
      reason: "R",
      message: "hello",
      type: "Normal",
      source: { component: "test" },
    };
    equal((await send("POST", `${base}/events`, event)).status, 201);
    const newer = (await send("GET", "/apis/events.k8s.io/v1/namespaces/writes/events/e")).json;
    equal(newer.apiVersion, "events.k8s.io/v1");
    equal(newer.note, "hello");
    equal(newer.regarding.name, "p");
    equal(
      (await send("GET", "/apis/events.k8s.io/v1/namespaces/writes/events")).json.items[0].note,
      "hello",
    );
  });

  it("lets events end by a lease that they share", async () => {
    const before = (await fixture.store.leases()).ids.length;
    for (let index = 0; index < 5; index++) {
      const created = await send("POST", `${base}/events`, {
        metadata: { name: `lease-${index}` },
        involvedObject: { kind: "Pod", namespace: "writes", name: "p" },
      });
      equal(created.status, 201, created.text);
    }
    const ids = (await fixture.store.leases()).ids;
    ok(ids.length <= before + 1);
    const { kvs } = await fixture.store.range({
      key: Buffer.from("/registry/events/writes/lease-0"),
    });
    notEqual(kvs[0]?.lease, 0n);
    const { grantedTtl } = await fixture.store.leaseTimeToLive(kvs[0]!.lease, false);
    equal(grantedTtl, 3660);
  });

  it("stores objects as an existing cluster has them", async () => {
    await send("POST", maps, configMap("stored", { a: "b" }));
    const { kvs } = await fixture.store.range({
      key: Buffer.from("/registry/configmaps/writes/stored"),
    });
    const value = JSON.parse(kvs[0]!.value.toString()) as {
      kind: string;
      apiVersion: string;
      metadata: { resourceVersion?: string };
    };
    equal(value.kind, "ConfigMap");
    equal(value.apiVersion, "v1");
    equal(value.metadata.resourceVersion, undefined);
  });

  it("says which patch types it takes when it gets server-side apply", async () => {
    const answer = await send("PATCH", `${maps}/stored?fieldManager=x`, "a: b", {
      "content-type": "application/apply-patch+yaml",
    });
    equal(answer.status, 415);
    match(answer.json.message as string, /strategic-merge-patch\+json/);
  });
});

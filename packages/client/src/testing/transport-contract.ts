import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import {
  ApiError,
  type ConfigMap,
  type Deployment,
  type Json,
  type KubeObject,
  type WatchEvent,
} from "@wherry/machinery";
import type { ApiClient, ResourceRef, WatchOptions } from "../api-client.ts";
import { createApiClient } from "../create-api-client.ts";
import { resources } from "../resources.ts";
import type { ApiTransport } from "../transport.ts";

export interface ContractTransport {
  readonly transport: ApiTransport;
  close?(): Promise<void>;
}

/**
 * What every ApiTransport must do, over every API server: the memory API, the real one in process, the real one by HTTP. Each run works in a
 * namespace of its own, which it leaves behind deleted.
 */
export function runTransportContract(name: string, create: () => Promise<ContractTransport>): void {
  describe(`transport contract: ${name}`, () => {
    let peer: ContractTransport;
    let client: ApiClient;
    const namespace = `contract-${Date.now().toString(36)}-${Math.floor(Math.random() * 1e6).toString(36)}`;

    before(async () => {
      peer = await create();
      client = createApiClient(peer.transport);
      await client.create(resources.namespaces, {
        apiVersion: "v1",
        kind: "Namespace",
        metadata: { name: namespace },
      });
    });
    after(async () => {
      await client.delete(resources.namespaces, namespace);
      await peer.close?.();
    });

    const configMap = (
      configName: string,
      data: Record<string, string> = {},
      labels?: Record<string, string>,
    ): ConfigMap => ({
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: configName, namespace, ...(labels === undefined ? {} : { labels }) },
      data,
    });
    const createMap = (
      configName: string,
      data?: Record<string, string>,
      labels?: Record<string, string>,
    ) => client.create<ConfigMap>(resources.configMaps, configMap(configName, data, labels));

    test("creates, reads and deletes an object", async () => {
      const created = await createMap("crud", { a: "1" });
      assert.equal(created.metadata.namespace, namespace);
      assert.ok(created.metadata.uid);
      assert.match(created.metadata.creationTimestamp ?? "", /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
      assert.match(created.metadata.resourceVersion ?? "", /^[1-9]\d*$/);
      const read = await client.get<ConfigMap>(resources.configMaps, "crud", namespace);
      assert.deepEqual(read, created);
      await client.delete(resources.configMaps, "crud", namespace);
      await rejectsWith(
        client.get(resources.configMaps, "crud", namespace),
        404,
        "NotFound",
        'configmaps "crud" not found',
      );
    });

    test("answers a missing object with a Status that names it", async () => {
      const error = await rejectsWith(
        client.get(resources.deployments, "missing", namespace),
        404,
        "NotFound",
        'deployments.apps "missing" not found',
      );
      assert.deepEqual(error.status.details, {
        name: "missing",
        group: "apps",
        kind: "deployments",
      });
      assert.equal(error.status.kind, "Status");
      await rejectsWith(
        client.delete(resources.configMaps, "missing", namespace),
        404,
        "NotFound",
        'configmaps "missing" not found',
      );
    });

    test("answers an unknown resource with 404", async () => {
      const unknown: ResourceRef = {
        group: "",
        version: "v1",
        resource: "nosuchthings",
        kind: "NoSuchThing",
        namespaced: true,
      };
      await rejectsWith(
        client.list(unknown, { namespace }),
        404,
        "NotFound",
        "the server could not find the requested resource",
      );
    });

    test("refuses a second object of the same name", async () => {
      await createMap("twice");
      await rejectsWith(
        createMap("twice"),
        409,
        "AlreadyExists",
        'configmaps "twice" already exists',
      );
    });

    test("makes a name from generateName", async () => {
      const object = {
        apiVersion: "v1",
        kind: "ConfigMap",
        metadata: { generateName: "made-", namespace },
      };
      const made = await client.create<KubeObject>(resources.configMaps, object);
      assert.match(made.metadata.name ?? "", /^made-[bcdfghjklmnpqrstvwxz2456789]{5}$/);
    });

    test("stores nothing on dry run", async () => {
      await client.create(resources.configMaps, configMap("dry"), { dryRun: true });
      await rejectsWith(client.get(resources.configMaps, "dry", namespace), 404, "NotFound");
    });

    test("updates with the current resourceVersion and conflicts with an old one", async () => {
      const first = await createMap("update", { a: "1" });
      const second = await client.update<ConfigMap>(resources.configMaps, {
        ...first,
        data: { a: "2" },
      });
      assert.notEqual(second.metadata.resourceVersion, first.metadata.resourceVersion);
      assert.equal(second.metadata.uid, first.metadata.uid);
      await rejectsWith(
        client.update(resources.configMaps, { ...first, data: { a: "3" } }),
        409,
        "Conflict",
        'Operation cannot be fulfilled on configmaps "update": the object has been modified; please apply your changes to the latest version and try again',
      );
      const same = await client.update<ConfigMap>(resources.configMaps, second);
      assert.equal(
        same.metadata.resourceVersion,
        second.metadata.resourceVersion,
        "an update that changes nothing writes nothing",
      );
    });

    test("updates without a resourceVersion whatever is there", async () => {
      await createMap("unconditional", { a: "1" });
      const updated = await client.update<ConfigMap>(
        resources.configMaps,
        configMap("unconditional", { a: "2" }),
      );
      assert.deepEqual(updated.data, { a: "2" });
    });

    test("refuses to update what does not exist", async () => {
      await rejectsWith(
        client.update(resources.configMaps, configMap("never")),
        404,
        "NotFound",
        'configmaps "never" not found',
      );
    });

    test("patches with a merge patch", async () => {
      await createMap("merge", { a: "1", b: "2" });
      const patch = { data: { a: null, c: "3" }, metadata: { labels: { x: "y" } } };
      const patched = await client.patch<ConfigMap>(
        resources.configMaps,
        "merge",
        namespace,
        "merge",
        patch,
      );
      assert.deepEqual(patched.data, { b: "2", c: "3" });
      assert.deepEqual(patched.metadata.labels, { x: "y" });
    });

    test("patches with a JSON patch and refuses one that does not fit", async () => {
      await createMap("json", { a: "1" });
      const add: Json = [
        { op: "test", path: "/data/a", value: "1" },
        { op: "add", path: "/data/b", value: "2" },
      ];
      const patched = await client.patch<ConfigMap>(
        resources.configMaps,
        "json",
        namespace,
        "json",
        add,
      );
      assert.deepEqual(patched.data, { a: "1", b: "2" });
      const remove: Json = [{ op: "remove", path: "/data/nothing" }];
      await rejectsWith(
        client.patch(resources.configMaps, "json", namespace, "json", remove),
        422,
        "Invalid",
        "the server rejected our request due to an error in our request",
      );
    });

    test("merges lists by key in a strategic merge patch", async () => {
      await client.create(resources.deployments, deployment(namespace, "strategic"));
      const patch = {
        spec: { template: { spec: { containers: [{ name: "side", image: "side:1" }] } } },
      };
      const patched = await client.patch<Deployment>(
        resources.deployments,
        "strategic",
        namespace,
        "strategic",
        patch,
      );
      const images = (patched.spec.template.spec?.containers ?? [])
        .map((container) => container.image ?? "")
        .sort();
      assert.deepEqual(images, ["main:1", "side:1"]);
      assert.equal(patched.metadata.generation, 2);
    });

    test("conflicts when a patch names an old resourceVersion", async () => {
      const first = await createMap("patch-conflict", { a: "1" });
      await client.update(resources.configMaps, { ...first, data: { a: "2" } });
      const patch = {
        metadata: { resourceVersion: first.metadata.resourceVersion ?? "" },
        data: { a: "3" },
      };
      await rejectsWith(
        client.patch(resources.configMaps, "patch-conflict", namespace, "merge", patch),
        409,
        "Conflict",
      );
    });

    test("keeps spec and status apart", async () => {
      const created = await client.create<Deployment>(resources.deployments, {
        ...deployment(namespace, "status"),
        status: { replicas: 7 },
      });
      assert.equal(
        created.status?.replicas ?? 0,
        0,
        "a status that is sent with a create is ignored",
      );
      assert.equal(created.metadata.generation, 1);
      const changed = {
        ...created,
        spec: { ...created.spec, replicas: 9 },
        status: { replicas: 3 },
      };
      const reported = await client.update<Deployment>(resources.deployments, changed, {
        subresource: "status",
      });
      assert.equal(reported.status?.replicas, 3);
      assert.equal(
        reported.spec.replicas,
        created.spec.replicas,
        "the status subresource leaves the spec alone",
      );
      assert.equal(reported.metadata.generation, 1);
      const scaled = await client.update<Deployment>(resources.deployments, {
        ...reported,
        spec: { ...reported.spec, replicas: 2 },
        status: { replicas: 5 },
      });
      assert.equal(scaled.status?.replicas, 3, "the object itself leaves the status alone");
      assert.equal(scaled.spec.replicas, 2);
      assert.equal(scaled.metadata.generation, 2);
    });

    test("keeps an object until its last finalizer is gone", async () => {
      const object = configMap("finalized");
      await client.create(resources.configMaps, {
        ...object,
        metadata: { ...object.metadata, finalizers: ["example.com/hold"] },
      });
      await client.delete(resources.configMaps, "finalized", namespace);
      const held = await client.get<ConfigMap>(resources.configMaps, "finalized", namespace);
      assert.ok(held.metadata.deletionTimestamp);
      const released = { metadata: { finalizers: null } };
      await client.patch(resources.configMaps, "finalized", namespace, "merge", released);
      await rejectsWith(client.get(resources.configMaps, "finalized", namespace), 404, "NotFound");
    });

    test("honours preconditions of a deletion", async () => {
      const created = await createMap("precondition");
      const preconditions = { uid: "00000000-0000-0000-0000-000000000000" };
      await rejectsWith(
        client.delete(resources.configMaps, "precondition", namespace, { preconditions }),
        409,
        "Conflict",
      );
      await client.delete(resources.configMaps, "precondition", namespace, {
        preconditions: { uid: created.metadata.uid ?? "" },
      });
    });

    test("lists by label and by name", async () => {
      await createMap("list-a", {}, { suite: "list", tier: "one" });
      await createMap("list-b", {}, { suite: "list", tier: "two" });
      await createMap("list-c", {}, { suite: "list" });
      const names = async (
        labelSelector: string,
        fieldSelector = "",
      ): Promise<readonly (string | undefined)[]> => {
        const list = await client.list<ConfigMap>(resources.configMaps, {
          namespace,
          labelSelector,
          fieldSelector,
        });
        return list.items.map((item) => item.metadata.name);
      };
      assert.deepEqual(await names("suite=list"), ["list-a", "list-b", "list-c"]);
      assert.deepEqual(await names("suite=list,tier in (one,two)"), ["list-a", "list-b"]);
      assert.deepEqual(await names("suite=list,!tier"), ["list-c"]);
      assert.deepEqual(await names("suite=list", "metadata.name=list-b"), ["list-b"]);
      assert.deepEqual(await names("suite=list", "metadata.name!=list-b"), ["list-a", "list-c"]);
    });

    test("refuses selectors that make no sense", async () => {
      await rejectsWith(
        client.list(resources.configMaps, { namespace, labelSelector: "a in" }),
        400,
        "BadRequest",
      );
      await rejectsWith(
        client.list(resources.configMaps, { namespace, fieldSelector: "data.a=1" }),
        400,
        "BadRequest",
      );
    });

    test("pages through a consistent list", async () => {
      for (const letter of ["a", "b", "c"])
        await createMap(`page-${letter}`, {}, { suite: "page" });
      const options = { namespace, labelSelector: "suite=page", limit: 2 };
      const first = await client.list<ConfigMap>(resources.configMaps, options);
      assert.deepEqual(
        first.items.map((item) => item.metadata.name),
        ["page-a", "page-b"],
      );
      assert.ok(first.metadata.continue);
      await createMap("page-d", {}, { suite: "page" });
      const second = await client.list<ConfigMap>(resources.configMaps, {
        ...options,
        continue: first.metadata.continue,
      });
      assert.deepEqual(
        second.items.map((item) => item.metadata.name),
        ["page-c"],
      );
      assert.equal(second.metadata.resourceVersion, first.metadata.resourceVersion);
      assert.equal(second.metadata.continue ?? "", "");
    });

    test("watches from the version of a list and resumes from the version of an event", async () => {
      const list = await client.list<ConfigMap>(resources.configMaps, { namespace });
      const created = await createMap("watched", { a: "1" }, { suite: "watch" });
      const updated = await client.update<ConfigMap>(resources.configMaps, {
        ...created,
        data: { a: "2" },
      });
      await client.delete(resources.configMaps, "watched", namespace);
      const { resourceVersion = "" } = list.metadata;
      const all = await take(client, resources.configMaps, { namespace, resourceVersion }, 3);
      assert.deepEqual(
        all.map((event) => event.type),
        ["ADDED", "MODIFIED", "DELETED"],
      );
      assert.deepEqual(
        all.map((event) => event.object.metadata.name),
        ["watched", "watched", "watched"],
      );
      assert.equal(all[0]?.object.kind, "ConfigMap");
      assert.equal(all[1]?.object.metadata.resourceVersion, updated.metadata.resourceVersion);
      assert.deepEqual(all[2]?.object.data, { a: "2" });
      const versions = all.map((event) => BigInt(event.object.metadata.resourceVersion ?? "0"));
      assert.ok(
        (versions[0] ?? 0n) < (versions[1] ?? 0n) && (versions[1] ?? 0n) < (versions[2] ?? 0n),
      );
      const resumed = await take(
        client,
        resources.configMaps,
        { namespace, resourceVersion: all[0]?.object.metadata.resourceVersion ?? "" },
        2,
      );
      assert.deepEqual(resumed, all.slice(1));
    });

    test("delivers what happens while a watch is open", async () => {
      const { metadata } = await client.list(resources.configMaps, { namespace });
      const abort = new AbortController();
      const events = client.watch<ConfigMap>(resources.configMaps, {
        namespace,
        resourceVersion: metadata.resourceVersion ?? "",
        signal: abort.signal,
      });
      const iterator = events[Symbol.asyncIterator]();
      const next = iterator.next();
      await createMap("live");
      const { value } = await next;
      assert.equal((value as WatchEvent<ConfigMap>).object.metadata.name, "live");
      const pending = iterator.next();
      abort.abort();
      await assert.rejects(pending, { name: "TransportError", code: "aborted" });
    });

    test("turns a change of labels into ADDED and DELETED for a watch with a selector", async () => {
      const { metadata } = await client.list(resources.configMaps, { namespace });
      await createMap("moving", {}, { stage: "one" });
      for (const stage of ["two", "two-again", "one"]) {
        await client.patch(resources.configMaps, "moving", namespace, "merge", {
          metadata: { labels: { stage } },
        });
      }
      const options = {
        namespace,
        resourceVersion: metadata.resourceVersion ?? "",
        labelSelector: "stage in (two,two-again)",
      };
      const events = await take(client, resources.configMaps, options, 3);
      assert.deepEqual(
        events.map((event) => event.type),
        ["ADDED", "MODIFIED", "DELETED"],
      );
    });

    test("sends what exists first when a watch has no version", async () => {
      await createMap("initial", {}, { suite: "initial" });
      const [event] = await take(
        client,
        resources.configMaps,
        { namespace, labelSelector: "suite=initial" },
        1,
      );
      assert.equal(event?.type, "ADDED");
      assert.equal(event?.object.metadata.name, "initial");
    });

    test("rejects a call whose signal is aborted", async () => {
      const signal = AbortSignal.abort();
      await assert.rejects(client.list(resources.configMaps, { namespace, signal }), {
        name: "TransportError",
        code: "aborted",
      });
    });
  });
}

function deployment(namespace: string, name: string): Deployment {
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name, namespace },
    spec: {
      replicas: 1,
      selector: { matchLabels: { app: name } },
      template: {
        metadata: { labels: { app: name } },
        spec: { containers: [{ name: "main", image: "main:1" }] },
      },
    },
  };
}

/** The first events of a watch; it is left as soon as they are there. */
async function take(
  client: ApiClient,
  ref: ResourceRef,
  options: WatchOptions,
  count: number,
): Promise<readonly WatchEvent<ConfigMap>[]> {
  const events: WatchEvent<ConfigMap>[] = [];
  for await (const event of client.watch<ConfigMap>(ref, options)) {
    if (event.type !== "BOOKMARK") events.push(event);
    if (events.length >= count) break;
  }
  return events;
}

async function rejectsWith(
  promise: Promise<unknown>,
  code: number,
  reason: string,
  message?: string,
): Promise<ApiError> {
  let caught: unknown;
  try {
    await promise;
  } catch (error) {
    caught = error;
  }
  assert.ok(
    caught instanceof ApiError,
    `expected an ApiError ${code} ${reason}, got ${String(caught)}`,
  );
  assert.equal(caught.code, code, caught.message);
  assert.equal(caught.reason, reason);
  if (message !== undefined) assert.equal(caught.message, message);
  return caught;
}

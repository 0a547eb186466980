import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { deepFreeze } from "./deep-freeze.ts";
import type { JsonObject } from "./meta.ts";
import {
  applyStrategicMergePatch,
  type PatchField,
  type PatchSchema,
} from "./strategic-merge-patch.ts";

const scalar: PatchSchema = {};

function fields(entries: Readonly<Record<string, PatchField>>): PatchSchema {
  return { definition: "test.Thing", properties: new Map(Object.entries(entries)) };
}

function list(items: PatchSchema, key?: string, ...strategy: string[]): PatchField {
  return {
    schema: { items },
    patchStrategy: key === undefined && strategy.length === 0 ? ["merge"] : ["merge", ...strategy],
    ...(key === undefined ? {} : { patchMergeKey: key }),
  };
}

const container = fields({
  name: { schema: scalar },
  image: { schema: scalar },
  env: list(fields({ name: { schema: scalar }, value: { schema: scalar } }), "name"),
  args: { schema: { items: scalar } },
});
const volume = fields({
  name: { schema: scalar },
  emptyDir: { schema: fields({}) },
  hostPath: { schema: fields({ path: { schema: scalar } }) },
});
const schema = fields({
  labels: { schema: { values: scalar } },
  finalizers: list(scalar),
  containers: list(container, "name"),
  volumes: list(volume, "name", "retainKeys"),
  strategy: {
    schema: fields({
      type: { schema: scalar },
      rolling: { schema: fields({ max: { schema: scalar } }) },
    }),
    patchStrategy: ["retainKeys"],
  },
  selector: { schema: { values: scalar }, patchStrategy: ["replace"] },
  replicas: { schema: scalar },
  tags: { schema: { items: scalar } },
});

const original: JsonObject = deepFreeze({
  labels: { a: "1", b: "2" },
  finalizers: ["x/a", "x/b"],
  containers: [
    {
      name: "a",
      image: "a:1",
      env: [
        { name: "A", value: "1" },
        { name: "B", value: "2" },
      ],
      args: ["1"],
    },
    { name: "b", image: "b:1" },
  ],
  volumes: [{ name: "v", emptyDir: {} }],
  strategy: { type: "RollingUpdate", rolling: { max: 1 } },
  selector: { a: "1" },
  replicas: 1,
  tags: ["t"],
});

function apply(patch: JsonObject): JsonObject {
  return applyStrategicMergePatch(original, deepFreeze(patch), schema);
}

function containers(patch: JsonObject): unknown {
  return apply(patch)["containers"];
}

describe("strategic merge patch", () => {
  test("merges maps and removes nulls", () => {
    assert.deepEqual(apply({ labels: { a: null, c: "3" } })["labels"], { b: "2", c: "3" });
    assert.equal("replicas" in apply({ replicas: null }), false);
  });

  test("replaces lists without a strategy", () => {
    assert.deepEqual(apply({ tags: ["u", "v"] })["tags"], ["u", "v"]);
  });

  test("replaces a map whose strategy says so", () => {
    assert.deepEqual(apply({ selector: { b: "2" } })["selector"], { b: "2" });
  });

  test("merges a list of maps by key, named elements first come in the patch's order", () => {
    assert.deepEqual(containers({ containers: [{ name: "a", image: "a:2" }] }), [
      {
        name: "a",
        image: "a:2",
        env: [
          { name: "A", value: "1" },
          { name: "B", value: "2" },
        ],
        args: ["1"],
      },
      { name: "b", image: "b:1" },
    ]);
    const added = containers({ containers: [{ name: "c", image: "z:2" }] }) as { name: string }[];
    assert.deepEqual(
      added.map((one) => one.name),
      ["c", "a", "b"],
    );
  });

  test("merges lists inside of list elements", () => {
    const [first] = containers({
      containers: [{ name: "a", env: [{ name: "B", value: "9" }], args: ["2"] }],
    }) as JsonObject[];
    assert.deepEqual(first?.["env"], [
      { name: "A", value: "1" },
      { name: "B", value: "9" },
    ]);
    assert.deepEqual(first?.["args"], ["2"]);
  });

  test("deletes list elements with $patch: delete", () => {
    assert.deepEqual(containers({ containers: [{ name: "a", $patch: "delete" }] }), [
      { name: "b", image: "b:1" },
    ]);
    const env = { containers: [{ name: "a", env: [{ name: "B", $patch: "delete" }] }] };
    assert.deepEqual((containers(env) as JsonObject[])[0]?.["env"], [{ name: "A", value: "1" }]);
  });

  test("replaces a list with $patch: replace", () => {
    const patch = { containers: [{ $patch: "replace" }, { name: "n", image: "n:1" }] };
    assert.deepEqual(containers(patch), [{ name: "n", image: "n:1" }]);
  });

  test("replaces and empties maps with $patch", () => {
    assert.deepEqual(apply({ labels: { $patch: "replace", z: "1" } })["labels"], { z: "1" });
    assert.deepEqual(apply({ strategy: { $patch: "delete" } })["strategy"], {});
  });

  test("orders lists with $setElementOrder", () => {
    const patch = {
      "$setElementOrder/containers": [{ name: "b" }, { name: "a" }],
      containers: [{ name: "a", image: "z:3" }],
    };
    const ordered = containers(patch) as { name: string; image: string }[];
    assert.deepEqual(
      ordered.map((one) => `${one.name} ${one.image}`),
      ["b b:1", "a z:3"],
    );
    const only = containers({ "$setElementOrder/containers": [{ name: "b" }, { name: "a" }] }) as {
      name: string;
    }[];
    assert.deepEqual(
      only.map((one) => one.name),
      ["b", "a"],
    );
    const scalars = apply({ "$setElementOrder/finalizers": ["x/c", "x/a"], finalizers: ["x/c"] });
    assert.deepEqual(scalars["finalizers"], ["x/c", "x/a", "x/b"]);
  });

  test("keeps elements that only the server has near their neighbours", () => {
    const live = { containers: [{ name: "a" }, { name: "s" }, { name: "b" }] };
    const patch = { "$setElementOrder/containers": [{ name: "b" }, { name: "a" }] };
    const result = applyStrategicMergePatch(live, patch, schema) as {
      containers: { name: string }[];
    };
    assert.deepEqual(
      result.containers.map((one) => one.name),
      ["s", "b", "a"],
    );
  });

  test("unites lists of scalars and removes from them", () => {
    assert.deepEqual(apply({ finalizers: ["x/b", "x/c"] })["finalizers"], ["x/a", "x/b", "x/c"]);
    assert.deepEqual(apply({ "$deleteFromPrimitiveList/finalizers": ["x/a"] })["finalizers"], [
      "x/b",
    ]);
  });

  test("keeps only what $retainKeys names", () => {
    const volumes = [{ name: "v", $retainKeys: ["name", "hostPath"], hostPath: { path: "/x" } }];
    assert.deepEqual(apply({ volumes })["volumes"], [{ name: "v", hostPath: { path: "/x" } }]);
    const strategy = { $retainKeys: ["type"], type: "Recreate" };
    assert.deepEqual(apply({ strategy })["strategy"], { type: "Recreate" });
    assert.throws(() => apply({ strategy: { $retainKeys: ["rolling"], type: "x" } }), {
      code: "badPatch",
      message: "invalid patch format of retainKeys",
    });
  });

  test("leaves no directive and no null where nothing was before", () => {
    const empty = applyStrategicMergePatch(
      {},
      {
        labels: { $patch: "replace", a: "1", b: null },
        containers: [
          { $patch: "delete", name: "a" },
          { name: "b", image: null },
        ],
      },
      schema,
    );
    assert.deepEqual(empty, { labels: { a: "1" }, containers: [{ name: "b" }] });
  });

  test("fails with upstream's texts", () => {
    const noKey = { containers: [{ image: "x" }] };
    assert.throws(() => apply(noKey), {
      code: "patchFailed",
      message: "map: map[image:x] does not contain declared merge key: name",
    });
    const order = {
      "$setElementOrder/containers": [{ name: "b" }],
      containers: [{ name: "a", image: "z:3" }],
    };
    assert.throws(() => apply(order), {
      message:
        "The order in patch list:\n[map[image:z:3 name:a]]\n doesn't match $setElementOrder list:\n[map[name:b]]\n",
    });
    assert.throws(() => apply({ labels: { $patch: "frob" } }), {
      message: "unknown patch type: frob in map: map[$patch:frob]",
    });
    assert.throws(() => applyStrategicMergePatch({ q: {} }, { q: {} }, schema), {
      message: 'unable to find api field in struct Thing for the json field "q"',
    });
  });

  test("leaves its inputs alone and does the same when applied twice", () => {
    const name = fc.constantFrom("a", "b", "c", "d");
    const item = fc.record({ name, image: fc.constantFrom("1", "2") }, { noNullPrototype: true });
    const items = fc.uniqueArray(item, { selector: (one) => one.name, maxLength: 4 });
    fc.assert(
      fc.property(
        items,
        items,
        fc.uniqueArray(name),
        fc.uniqueArray(name),
        (old, patch, have, add) => {
          const before = deepFreeze({ containers: old, finalizers: have }) as unknown as JsonObject;
          const change = deepFreeze({
            containers: patch,
            finalizers: add,
          }) as unknown as JsonObject;
          const once = applyStrategicMergePatch(before, change, schema);
          const merged = once["containers"] as unknown as { name: string; image: string }[];
          const expected = new Map([...old, ...patch].map((one) => [one.name, one.image]));
          assert.deepEqual(new Map(merged.map((one) => [one.name, one.image])), expected);
          const named = merged
            .map((one) => one.name)
            .filter((one) => patch.some((entry) => entry.name === one));
          assert.deepEqual(
            named,
            patch.map((one) => one.name),
          );
          assert.deepEqual(applyStrategicMergePatch(once, change, schema), once);
        },
      ),
    );
  });
});

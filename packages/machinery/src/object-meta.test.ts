import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Condition } from "./meta.ts";
import { formatGroupVersion, parseGroupVersion } from "./group-version.ts";
import { isPercent, scaleIntOrPercent } from "./int-or-string.ts";
import {
  controllerOf,
  controllerReference,
  isControlledBy,
  keyOf,
  objectKey,
  splitKey,
  withCondition,
  withFinalizer,
  withLabels,
  withoutFinalizer,
} from "./object-meta.ts";
import { hashPodTemplate } from "./pod-template-hash.ts";
import { formatMicroTime, formatTime, parseTime } from "./time.ts";

describe("object metadata", () => {
  test("keys name an object within its resource", () => {
    assert.equal(objectKey({ metadata: { name: "a", namespace: "n" } }), "n/a");
    assert.equal(objectKey({ metadata: { name: "a" } }), "a");
    assert.deepEqual(splitKey(keyOf("n", "a")), { namespace: "n", name: "a" });
    assert.deepEqual(splitKey("a"), { namespace: "", name: "a" });
  });

  test("the controller is the owner that says so", () => {
    const owner = { metadata: { name: "rs", uid: "u1" } };
    const reference = controllerReference(owner, { apiVersion: "apps/v1", kind: "ReplicaSet" });
    const pod = {
      metadata: {
        name: "p",
        ownerReferences: [{ ...reference, uid: "u0", controller: false }, reference],
      },
    };
    assert.equal(controllerOf(pod)?.uid, "u1");
    assert.ok(isControlledBy(pod, owner));
    assert.ok(!isControlledBy(pod, { metadata: { uid: "u0" } }));
  });

  test("finalizers and labels change by copy", () => {
    const metadata = Object.freeze({
      finalizers: Object.freeze(["a"]),
      labels: Object.freeze({ x: "1", y: "2" }),
    });
    assert.deepEqual(withFinalizer(metadata, "b").finalizers, ["a", "b"]);
    assert.equal(withFinalizer(metadata, "a"), metadata);
    assert.deepEqual(withoutFinalizer(metadata, "a").finalizers, []);
    assert.deepEqual(withLabels(metadata, { x: null, z: "3" }).labels, { y: "2", z: "3" });
  });

  test("a condition's transition time moves with its status only", () => {
    const first = withCondition<Condition>(
      [],
      { type: "Ready", status: "False", reason: "A" },
      "t1",
    );
    const second = withCondition(first, { type: "Ready", status: "False", reason: "B" }, "t2");
    const third = withCondition(second, { type: "Ready", status: "True", reason: "B" }, "t3");
    assert.deepEqual(second, [
      { type: "Ready", status: "False", reason: "B", lastTransitionTime: "t1" },
    ]);
    assert.equal(third[0]?.lastTransitionTime, "t3");
    assert.equal(withCondition(third, { type: "Ready", status: "True", reason: "B" }, "t4"), third);
  });
});

describe("small values", () => {
  test("group and version", () => {
    assert.deepEqual(parseGroupVersion("v1"), { group: "", version: "v1" });
    assert.deepEqual(parseGroupVersion("apps/v1"), { group: "apps", version: "v1" });
    assert.equal(formatGroupVersion({ group: "apps", version: "v1" }), "apps/v1");
    assert.throws(() => parseGroupVersion("a/b/c"), {
      message: "unexpected GroupVersion string: a/b/c",
    });
  });

  test("times", () => {
    assert.equal(formatTime(Date.UTC(2026, 10, 20, 10, 0, 0, 999)), "2026-11-20T10:00:00Z");
    assert.equal(
      formatMicroTime(Date.UTC(2026, 10, 20, 10, 0, 0, 1) + 0.5),
      "2026-11-20T10:00:00.001500Z",
    );
    assert.equal(parseTime("2026-11-20T11:00:00.25+01:00"), Date.UTC(2026, 10, 20, 10, 0, 0, 250));
    assert.throws(() => parseTime("2026-11-20"), { code: "badValue" });
  });

  test("integers and percentages", () => {
    assert.equal(scaleIntOrPercent(3, 10, "up"), 3);
    assert.equal(scaleIntOrPercent("25%", 10, "up"), 3);
    assert.equal(scaleIntOrPercent("25%", 10, "down"), 2);
    assert.equal(scaleIntOrPercent("100%", 7, "down"), 7);
    assert.ok(isPercent("1%") && !isPercent("1"));
    assert.throws(() => scaleIntOrPercent("x", 1, "up"), {
      message: "invalid value for IntOrString: invalid type: string is not a percentage",
    });
  });

  test("the hash of a pod template does not depend on the order of keys", () => {
    const hash = hashPodTemplate({ a: 1, b: { c: [1, 2], d: "x" } });
    assert.equal(hashPodTemplate({ b: { d: "x", c: [1, 2] }, a: 1 }), hash);
    assert.notEqual(hashPodTemplate({ a: 1, b: { c: [2, 1], d: "x" } }), hash);
    assert.notEqual(hashPodTemplate({ a: 1, b: { c: [1, 2], d: "x" } }, 1), hash);
    assert.match(hash, /^[bcdfghjklmnpqrstvwxz2456789]{1,10}$/);
  });
});

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { CoreEvent, KubeObject } from "@wherry/machinery";
import { createManualClock, type ManualClock } from "@wherry/service-kit/testing";
import { createEventRecorder, type EventRecorder } from "./event-recorder.ts";
import { resources } from "./resources.ts";
import { createMemoryApi, type MemoryApi } from "./testing/memory-api.ts";

interface Setup {
  readonly clock: ManualClock;
  readonly api: MemoryApi;
  readonly recorder: EventRecorder;
  readonly events: () => readonly CoreEvent[];
}

function setUp(): Setup {
  const clock = createManualClock(Date.UTC(2026, 0, 1));
  const api = createMemoryApi({ clock });
  const recorder = createEventRecorder({
    client: api.client,
    clock,
    component: "kubelet",
    node: "n1",
  });
  return { clock, api, recorder, events: () => api.list<CoreEvent>(resources.events) };
}

function pod(name = "web"): KubeObject {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "default", uid: "u1", resourceVersion: "5" },
  };
}

describe("event recorder", () => {
  test("records what happened to whom, where and when", async () => {
    const { recorder, events } = setUp();
    recorder.event(pod(), "Normal", "Started", "Started container c", {
      fieldPath: "spec.containers{c}",
    });
    await recorder.flush();
    const [event] = events();
    assert.match(event?.metadata.name ?? "", /^web\.[0-9a-f]{16}$/);
    assert.equal(event?.metadata.namespace, "default");
    assert.deepEqual(event?.involvedObject, {
      apiVersion: "v1",
      kind: "Pod",
      name: "web",
      namespace: "default",
      uid: "u1",
      resourceVersion: "5",
      fieldPath: "spec.containers{c}",
    });
    assert.deepEqual(event?.source, { component: "kubelet", host: "n1" });
    const { reason, message, type, count, firstTimestamp, lastTimestamp, reportingComponent } =
      event ?? ({} as CoreEvent);
    assert.deepEqual(
      { reason, message, type, count, firstTimestamp, lastTimestamp, reportingComponent },
      {
        reason: "Started",
        message: "Started container c",
        type: "Normal",
        count: 1,
        firstTimestamp: "2026-01-01T00:00:00Z",
        lastTimestamp: "2026-01-01T00:00:00Z",
        reportingComponent: "kubelet",
      },
    );
  });

  test("puts events about cluster-scoped objects into the default namespace", async () => {
    const { recorder, events } = setUp();
    recorder.event(
      { apiVersion: "v1", kind: "Node", metadata: { name: "n1" } },
      "Normal",
      "Ready",
      "ready",
    );
    await recorder.flush();
    assert.equal(events()[0]?.metadata.namespace, "default");
    assert.equal(events()[0]?.involvedObject.namespace, undefined);
  });

  test("counts equal events in one", async () => {
    const { clock, api, recorder, events } = setUp();
    for (let index = 0; index < 3; index += 1) {
      recorder.event(pod(), "Warning", "BackOff", "Back-off restarting");
      await recorder.flush();
      await clock.advance(10_000);
    }
    assert.equal(events().length, 1);
    assert.equal(events()[0]?.count, 3);
    assert.equal(events()[0]?.firstTimestamp, "2026-01-01T00:00:00Z");
    assert.equal(events()[0]?.lastTimestamp, "2026-01-01T00:00:20Z");
    assert.deepEqual(
      api.requests.map((request) => request.split(" ")[0]),
      ["POST", "PATCH", "PATCH"],
    );
  });

  test("records an event anew when the counted one has run out", async () => {
    const { api, recorder, events } = setUp();
    recorder.event(pod(), "Warning", "BackOff", "x");
    await recorder.flush();
    await api.client.delete(resources.events, events()[0]?.metadata.name ?? "", "default");
    recorder.event(pod(), "Warning", "BackOff", "x");
    await recorder.flush();
    assert.equal(events().length, 1);
    assert.equal(events()[0]?.count, 2);
  });

  test("combines events that differ in their message only from the tenth on", async () => {
    const { recorder, events } = setUp();
    for (let index = 0; index < 12; index += 1)
      recorder.event(pod(), "Warning", "Failed", `attempt ${index}`);
    await recorder.flush();
    const messages = events().map((event) => `${event.count ?? 0} ${event.message ?? ""}`);
    assert.equal(messages.length, 10);
    assert.equal(
      messages.filter((message) => message.startsWith("3 (combined from similar events): ")).length,
      1,
    );
  });

  test("lets one object have 25 events, then one in five minutes", async () => {
    const { clock, recorder, events } = setUp();
    for (let index = 0; index < 40; index += 1) recorder.event(pod(), "Normal", `R${index}`, "x");
    await recorder.flush();
    assert.equal(events().length, 25);
    assert.equal(recorder.dropped, 0, "skipped spam is no loss");
    await clock.advance(300_000);
    recorder.event(pod(), "Normal", "Late", "x");
    recorder.event(pod(), "Normal", "TooMuch", "x");
    recorder.event(pod("other"), "Normal", "Other", "x");
    await recorder.flush();
    assert.equal(events().length, 27);
  });

  test("tries again while the API does not answer, and gives up after twelve attempts", async () => {
    const { clock, api, recorder, events } = setUp();
    let attempts = 0;
    const restore = api.intercept(() => {
      attempts += 1;
      return new Error("down");
    });
    recorder.event(pod(), "Normal", "A", "x");
    await clock.advance(30_000);
    restore();
    await clock.advance(10_000);
    assert.equal(events().length, 1);
    api.intercept(() => {
      attempts += 1;
      return new Error("down");
    });
    attempts = 0;
    recorder.event(pod(), "Normal", "B", "x");
    await clock.advance(300_000);
    assert.equal(attempts, 12);
    assert.equal(recorder.dropped, 1);
  });

  test("drops and counts what does not fit into the queue or is refused", async () => {
    const { recorder } = setUp();
    for (let index = 0; index < 1_010; index += 1)
      recorder.event(pod(`p${index}`), "Normal", "A", "x");
    assert.ok(recorder.dropped >= 9, String(recorder.dropped));
    await recorder.flush();
    const before = recorder.dropped;
    recorder.event({ metadata: { name: "x" } }, "Normal", "A", "no kind");
    assert.equal(recorder.dropped, before + 1);
    recorder.stop();
    recorder.event(pod(), "Normal", "A", "x");
    assert.equal(recorder.dropped, before + 2);
    await recorder.flush();
  });
});

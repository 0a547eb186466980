/** Clients that speak nothing but protobuf. */
import { deepEqual, equal, match, throws } from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { decodeKubernetesProtobuf, encodeKubernetesProtobuf } from "@wherry/schema";
import { negotiate } from "./negotiation.ts";
import { ask, configMap, startFixture, type Fixture } from "./testing/apiserver-fixture.ts";

const protobuf = "application/vnd.kubernetes.protobuf";
const maps = "/api/v1/namespaces/default/configmaps";

interface BinaryAnswer {
  readonly status: number;
  readonly type: string | undefined;
  readonly bytes: Buffer;
}

describe("protobuf bodies and answers", () => {
  let fixture: Fixture;
  before(async () => {
    fixture = await startFixture();
    await ask(fixture.admin, "POST", maps, configMap("one", { a: "1" }));
  });
  after(() => fixture.close());

  const send = async (
    method: "GET" | "POST" | "PUT" | "DELETE",
    path: string,
    body?: Buffer,
    accept: string = protobuf,
  ): Promise<BinaryAnswer> => {
    const response = await fixture.admin.roundTrip({
      method,
      path,
      headers: { accept, ...(body === undefined ? {} : { "content-type": protobuf }) },
      ...(body === undefined ? {} : { body }),
    });
    const chunks: Uint8Array[] = [];
    for await (const chunk of response.body) chunks.push(chunk);
    return {
      status: response.status,
      type: response.headers["content-type"],
      bytes: Buffer.concat(chunks),
    };
  };

  it("creates, replaces and deletes an object", async () => {
    const object = configMap("two", { b: "2" }) as Record<string, unknown>;
    const created = await send("POST", maps, encodeKubernetesProtobuf(object));
    deepEqual([created.status, created.type], [201, protobuf]);
    const found = decodeKubernetesProtobuf(created.bytes).object;
    deepEqual(found["data"], { b: "2" });
    const changed = await send(
      "PUT",
      `${maps}/two`,
      encodeKubernetesProtobuf({ ...found, data: { b: "3" } }),
    );
    deepEqual(decodeKubernetesProtobuf(changed.bytes).object["data"], { b: "3" });
    const uid = (found["metadata"] as { uid: string }).uid;
    const options = (wanted: string): Buffer =>
      encodeKubernetesProtobuf({
        apiVersion: "v1",
        kind: "DeleteOptions",
        preconditions: { uid: wanted },
      });
    equal((await send("DELETE", `${maps}/two`, options("other"))).status, 409);
    const deleted = await send("DELETE", `${maps}/two`, options(uid));
    equal(deleted.status, 200);
    equal(decodeKubernetesProtobuf(deleted.bytes).object["status"], "Success");
  });

  it("gives objects, lists and metadata the same as in JSON", async () => {
    for (const path of [
      `${maps}/one`,
      maps,
      "/api/v1/namespaces",
      "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    ]) {
      const { json } = await ask(fixture.admin, "GET", path);
      const answer = await send("GET", path);
      equal(answer.type, protobuf);
      deepEqual(decodeKubernetesProtobuf(answer.bytes).object, json);
    }
    const partial = "as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";
    const { json } = await ask(fixture.admin, "GET", maps, undefined, {
      accept: `application/json;${partial}`,
    });
    // Items of a list have no kind in protobuf.
    for (const item of json.items) {
      delete item.apiVersion;
      delete item.kind;
    }
    const answer = await send("GET", maps, undefined, `${protobuf};${partial}`);
    deepEqual(decodeKubernetesProtobuf(answer.bytes).object, json);
  });

  it("gives JSON to clients that take it too", async () => {
    for (const accept of [`${protobuf},application/json`, `${protobuf}, */*`]) {
      const answer = await send("GET", maps, undefined, accept);
      equal(answer.type, "application/json");
    }
  });

  it("watches in frames", async () => {
    const answer = await send(
      "GET",
      `${maps}?watch=true&timeoutSeconds=1&fieldSelector=metadata.name%3Done&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan`,
      undefined,
      `${protobuf};stream=watch`,
    );
    equal(answer.type, `${protobuf};stream=watch`);
    const events = framesOf(answer.bytes).map((frame) => {
      const start = frame.indexOf("k8s\0");
      const { kind, object } = decodeKubernetesProtobuf(frame.subarray(start));
      const name = (object["metadata"] as { name?: string }).name;
      return [frame.subarray(2, 2 + frame[1]!).toString(), kind, name];
    });
    deepEqual(events.slice(0, 2), [
      ["ADDED", "ConfigMap", "one"],
      ["BOOKMARK", "ConfigMap", undefined],
    ]);
  });

  it("refuses protobuf where there is none", async () => {
    const bad = await send("POST", maps, Buffer.from("k8s\0bad"));
    equal(bad.status, 400);
    match(bad.bytes.toString(), /must be of type ConfigMap/);
    const json = await send("POST", maps, Buffer.from("{}"));
    match(json.bytes.toString(), /does not appear to be a protobuf message/);
    const secret = { apiVersion: "v1", kind: "Secret", metadata: { name: "x" } };
    const other = await send("POST", maps, encodeKubernetesProtobuf(secret));
    deepEqual([other.status, JSON.parse(other.bytes.toString()).reason], [400, "BadRequest"]);
    // Custom resources have none: only a client that takes something else too is answered.
    const none = new Set<string>();
    const query = new URLSearchParams();
    throws(() => negotiate(protobuf, query, undefined, none, () => false), /Not Acceptable/);
    equal(negotiate(protobuf, query, undefined, none, () => true).media, "protobuf");
  });
});

function framesOf(bytes: Buffer): readonly Buffer[] {
  const frames: Buffer[] = [];
  for (let start = 0; start < bytes.length;) {
    const length = bytes.readUInt32BE(start);
    frames.push(bytes.subarray(start + 4, start + 4 + length));
    start += 4 + length;
  }
  return frames;
}

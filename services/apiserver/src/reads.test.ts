/** LIST, GET and WATCH semantics that clients rely on; expected values follow upstream's API concepts page and the recorded answers of v1.36. */
import { deepEqual, equal, match, ok } from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { gunzipSync } from "node:zlib";
import { createManualClock } from "@wherry/service-kit/testing";
import {
  ask,
  configMap,
  startFixture,
  type Answer,
  type Fixture,
} from "./testing/apiserver-fixture.ts";

const maps = "/api/v1/namespaces/reads/configmaps";

describe("reads", () => {
  let fixture: Fixture;
  const clock = createManualClock();
  /** Moves time on until the answer is there. */
  const later = async (answer: Promise<Answer>): Promise<Answer> => {
    let done = false;
    void answer.finally(() => (done = true)).catch(() => {});
    while (!done) await clock.advance(250);
    return answer;
  };
  before(async () => {
    fixture = await startFixture({ clock, config: { watchWindowEvents: 16 } });
    await ask(fixture.admin, "POST", "/api/v1/namespaces", { metadata: { name: "reads" } });
    for (let index = 0; index < 7; index++)
      await ask(
        fixture.admin,
        "POST",
        maps,
        configMap(`m${index}`, { n: String(index) }, { even: String(index % 2 === 0) }),
      );
  });
  after(() => fixture.close());
  const get = (path: string, headers?: Record<string, string>) =>
    ask(fixture.admin, "GET", path, undefined, headers);

  it("lists in pages at one revision, whatever is written in between", async () => {
    const first = await get(`${maps}?limit=3`);
    deepEqual(first.json.items.map(nameOf), ["m0", "m1", "m2"]);
    equal(first.json.metadata.remainingItemCount, 4);
    await ask(fixture.admin, "DELETE", `${maps}/m5`);
    await ask(fixture.admin, "POST", maps, configMap("m35"));
    const second = await get(
      `${maps}?limit=3&continue=${encodeURIComponent(first.json.metadata.continue as string)}`,
    );
    deepEqual(second.json.items.map(nameOf), ["m3", "m4", "m5"]);
    equal(second.json.metadata.resourceVersion, first.json.metadata.resourceVersion);
    const third = await get(
      `${maps}?limit=3&continue=${encodeURIComponent(second.json.metadata.continue as string)}`,
    );
    deepEqual(third.json.items.map(nameOf), ["m6"]);
    equal(third.json.metadata.continue, undefined);
    await ask(fixture.admin, "DELETE", `${maps}/m35`);
    await ask(fixture.admin, "POST", maps, configMap("m5", { n: "5" }, { even: "false" }));
  });

  it("answers 410 with a token to go on when a page's revision was compacted", async () => {
    const first = await get(`${maps}?limit=3`);
    for (let index = 0; index < 140; index++)
      await ask(
        fixture.admin,
        "PUT",
        `${maps}/m6`,
        configMap("m6", { n: "6", round: String(index) }, { even: "true" }),
      );
    const { header } = await fixture.store.range({ key: Buffer.from("x"), countOnly: true });
    await fixture.store.compact({ revision: header.revision });
    const expired = await get(
      `${maps}?limit=3&continue=${encodeURIComponent(first.json.metadata.continue as string)}`,
    );
    equal(expired.status, 410);
    equal(expired.json.reason, "Expired");
    const rest = await get(
      `${maps}?limit=9&continue=${encodeURIComponent(expired.json.metadata.continue as string)}`,
    );
    deepEqual(rest.json.items.map(nameOf), ["m3", "m4", "m5", "m6"]);
  });

  it("reads an exact revision from the store when the cache has let it go", async () => {
    const before = (await get(maps)).json.metadata.resourceVersion as string;
    for (let index = 0; index < 140; index++)
      await ask(
        fixture.admin,
        "PUT",
        `${maps}/m0`,
        configMap("m0", { round: String(index) }, { even: "true" }),
      );
    const old = await get(`${maps}?resourceVersion=${before}&resourceVersionMatch=Exact`);
    equal(old.json.metadata.resourceVersion, before);
    deepEqual(old.json.items[0].data, { n: "0" });
    equal(
      (await get(`${maps}?resourceVersion=${before}&resourceVersionMatch=NotOlderThan`)).json
        .items[0].data.round,
      "139",
    );
    await ask(fixture.admin, "PUT", `${maps}/m0`, configMap("m0", { n: "0" }, { even: "true" }));
  });

  it("answers 504 with cause ResourceVersionTooLarge for a revision that does not come", async () => {
    const answer = await later(get(`${maps}/m0?resourceVersion=99999999`));
    equal(answer.status, 504);
    equal(answer.headers["retry-after"], "1");
    equal(answer.json.details.causes[0].reason, "ResourceVersionTooLarge");
  });

  it("selects by label and by field", async () => {
    deepEqual((await get(`${maps}?labelSelector=even%3Dtrue`)).json.items.map(nameOf), [
      "m0",
      "m2",
      "m4",
      "m6",
    ]);
    deepEqual(
      (
        await get(`/api/v1/configmaps?fieldSelector=metadata.name%3Dm3,metadata.namespace%3Dreads`)
      ).json.items.map(nameOf),
      ["m3"],
    );
    equal((await get(`${maps}?fieldSelector=data.n%3D1`)).status, 400);
  });

  it("gives list items of built-in kinds without kind and apiVersion, and objects with them", async () => {
    const list = (await get(maps)).json;
    equal(list.kind, "ConfigMapList");
    equal(list.items[0].kind, undefined);
    const one = (await get(`${maps}/m1`)).json;
    equal(one.kind, "ConfigMap");
    equal(one.apiVersion, "v1");
    ok(Number(one.metadata.resourceVersion) > 0);
  });

  it("answers tables, partial metadata and YAML", async () => {
    const table = (
      await get(`${maps}/m1`, {
        accept: "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
      })
    ).json;
    equal(table.kind, "Table");
    deepEqual(
      table.columnDefinitions.map((column: { name: string }) => column.name),
      ["Name", "Data", "Age"],
    );
    deepEqual(table.rows[0].cells.slice(0, 2), ["m1", 1]);
    equal(table.rows[0].object.kind, "PartialObjectMetadata");
    const partial = (
      await get(maps, {
        accept: "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
      })
    ).json;
    equal(partial.kind, "PartialObjectMetadataList");
    equal(partial.items[0].data, undefined);
    const yaml = await get(`${maps}/m1`, { accept: "application/yaml" });
    match(yaml.text, /^kind: ConfigMap$/m);
    const protobufTable = "application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io";
    equal((await get(maps, { accept: protobufTable })).status, 406);
  });

  it("compresses big lists for clients that accept gzip", async () => {
    const filler = "x".repeat(60_000);
    for (let index = 0; index < 5; index++)
      await ask(
        fixture.admin,
        "POST",
        "/api/v1/namespaces/default/configmaps",
        configMap(`big${index}`, { filler }),
      );
    const response = await fixture.admin.roundTrip({
      method: "GET",
      path: "/api/v1/namespaces/default/configmaps",
      headers: { "accept-encoding": "gzip" },
    });
    equal(response.headers["content-encoding"], "gzip");
    const chunks: Uint8Array[] = [];
    for await (const chunk of response.body) chunks.push(chunk);
    const list = JSON.parse(gunzipSync(Buffer.concat(chunks)).toString()) as {
      items: { data: { filler: string } }[];
    };
    equal(list.items.filter((item) => item.data?.filler === filler).length, 5);
  });

  it("begins a watch with what is there", async () => {
    const answer = await later(
      get(`${maps}?watch=1&timeoutSeconds=1&allowWatchBookmarks=true&labelSelector=even%3Dfalse`),
    );
    const events = lines(answer.text);
    deepEqual(
      events.map(({ type, object }) => `${type} ${object.metadata.name}`),
      ["ADDED m1", "ADDED m3", "ADDED m5"],
    );
  });

  it("tells an idle watch by a bookmark how far it has come", async () => {
    const from = (await get(maps)).json.metadata.resourceVersion as string;
    const watching = get(
      `${maps}?watch=1&timeoutSeconds=90&allowWatchBookmarks=true&resourceVersion=${from}`,
    );
    const other = await ask(
      fixture.admin,
      "POST",
      "/api/v1/namespaces/default/configmaps",
      configMap("elsewhere"),
    );
    const events = lines((await later(watching)).text);
    deepEqual(
      events.map(({ type }) => type),
      ["BOOKMARK"],
    );
    equal(events[0]?.object.metadata.resourceVersion, other.json.metadata.resourceVersion);
  });

  it("streams a watch list: initial events, then a bookmark that says so", async () => {
    const query =
      "watch=1&timeoutSeconds=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&labelSelector=even%3Dfalse";
    const events = lines((await later(get(`${maps}?${query}`))).text);
    deepEqual(
      events.map(({ type }) => type),
      ["ADDED", "ADDED", "ADDED", "BOOKMARK"],
    );
    deepEqual(events[3]?.object.metadata.annotations, { "k8s.io/initial-events-end": "true" });
  });

  it("answers a watch from a compacted revision with an ERROR event", async () => {
    const events = lines(
      (await later(get(`${maps}?watch=1&resourceVersion=1&timeoutSeconds=9`))).text,
    );
    equal(events[0]?.type, "ERROR");
    equal((events[0].object as { code?: number }).code, 410);
  });

  it("shows tables to watchers, with columns in the first event only", async () => {
    const answer = await later(
      get(`${maps}?watch=1&timeoutSeconds=1`, {
        accept: "application/json;as=Table;v=v1;g=meta.k8s.io",
      }),
    );
    const events = lines(answer.text) as unknown as {
      object: { kind: string; columnDefinitions: unknown[] | null };
    }[];
    equal(events.length, 7);
    equal(events[0]?.object.kind, "Table");
    equal(events[0]?.object.columnDefinitions?.length, 3);
    equal(events[1]?.object.columnDefinitions, null);
  });

  it("ends watches and refuses new requests when the server stops", async () => {
    const own = await startFixture();
    const response = await own.admin.roundTrip({
      method: "GET",
      path: "/api/v1/configmaps?watch=1",
    });
    const reading = (async () => {
      for await (const _chunk of response.body);
    })();
    await own.close();
    await reading;
    equal((await ask(own.admin, "GET", "/api/v1/configmaps")).status, 503);
  });
});

interface Line {
  readonly type: string;
  readonly object: {
    readonly metadata: {
      readonly name?: string;
      readonly resourceVersion?: string;
      readonly annotations?: object;
    };
  };
}

function lines(text: string): Line[] {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Line);
}

function nameOf(item: { metadata: { name: string } }): string {
  return item.metadata.name;
}

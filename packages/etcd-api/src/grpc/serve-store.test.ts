import assert from "node:assert/strict";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { connect as connectHttp2, type IncomingHttpHeaders } from "node:http2";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { Client, credentials, type ServiceError } from "@grpc/grpc-js";
import { createAuthority, issueCertificate } from "@wherry/pki";
import { createDeferred, silentLogger } from "@wherry/service-kit";
import { healthResponse, healthStatus, memberListResponse } from "../codec/cluster-messages.ts";
import { decodeMessage, encodeMessage } from "../codec/message-codec.ts";
import { watchRequest } from "../codec/watch-messages.ts";
import { EtcdError, etcdErrors } from "../errors.ts";
import type {
  EtcdStore,
  KeyValue,
  ResponseHeader,
  WatchEvent,
  WatchMessage,
  WatchStream,
} from "../kv.ts";
import { createGrpcStore, type GrpcStoreOptions } from "./grpc-store.ts";
import { identity, method } from "./methods.ts";
import { serveStore, type ServeStoreOptions, type StoreServer } from "./serve-store.ts";

const header: ResponseHeader = {
  clusterId: 2n ** 63n + 5n,
  memberId: 7n,
  revision: 42,
  raftTerm: 3n,
};
const key = Buffer.from("k");
const kv: KeyValue = {
  key,
  createRevision: 2,
  modRevision: 3,
  version: 2,
  value: Buffer.from("v"),
  lease: 2n ** 62n,
};

/** A store that answers a few calls in a fixed way and refuses the rest. */
function scriptedStore(parts: Partial<EtcdStore> = {}): EtcdStore {
  const refuse = () => Promise.reject(etcdErrors.authNotEnabled());
  return {
    range: async () => ({ header, kvs: [kv], more: false, count: 1 }),
    put: refuse,
    deleteRange: refuse,
    txn: refuse,
    compact: refuse,
    leaseGrant: refuse,
    leaseRevoke: refuse,
    leaseKeepAlive: async (id) => ({ header, id, ttl: 9 }),
    leaseTimeToLive: refuse,
    leases: refuse,
    status: async () => ({
      header,
      version: "3.6.11",
      dbSize: 1,
      dbSizeInUse: 1,
      leader: 7n,
      raftIndex: 42n,
      raftTerm: 3n,
    }),
    watch: () => endlessWatch(0),
    ...parts,
  };
}

/** Events without end, each with a value of so many bytes. */
function endlessWatch(valueBytes: number, onPull: () => void = () => {}): WatchStream {
  const stop = createDeferred();
  async function* messages(): AsyncGenerator<WatchMessage, undefined> {
    yield { kind: "created", revision: 1 };
    for (let revision = 2; valueBytes > 0 && !stop.settled; revision += 1) {
      onPull();
      const event: WatchEvent = {
        type: "put",
        kv: { ...kv, modRevision: revision, value: Buffer.alloc(valueBytes) },
      };
      yield { kind: "events", revision, events: [event] };
      await new Promise(setImmediate);
    }
    await stop.promise;
    return undefined;
  }
  return { [Symbol.asyncIterator]: messages, requestProgress() {}, cancel: () => stop.resolve() };
}

async function serve(
  test: TestContext,
  store: EtcdStore,
  options: Partial<ServeStoreOptions> = {},
): Promise<StoreServer> {
  const server = await serveStore(store, { listen: "127.0.0.1:0", log: silentLogger, ...options });
  test.after(() => server.close(AbortSignal.timeout(100)));
  return server;
}

function connect(test: TestContext, options: Omit<GrpcStoreOptions, "log">): EtcdStore {
  const store = createGrpcStore({ log: silentLogger, ...options });
  test.after(() => store.close());
  return store;
}

/** A client without any of our client code above gRPC. */
function rawClient(test: TestContext, { endpoint }: StoreServer): Client {
  const client = new Client(endpoint.replace("http://", ""), credentials.createInsecure());
  test.after(() => client.close());
  return client;
}

function callRaw(client: Client, path: string): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(path, identity, identity, Buffer.alloc(0), (error, reply) =>
      error === null ? resolve(reply ?? Buffer.alloc(0)) : reject(error),
    );
  });
}

describe("the gRPC server", () => {
  it("gives answers with all their fields, and errors with etcd's code and text", async (test) => {
    const store = connect(test, await serve(test, scriptedStore()));
    const response = await store.range({ key });
    assert.deepEqual(response, { header, kvs: [kv], more: false, count: 1 });
    assert.equal(response.kvs[0]?.value.buffer.byteLength, 1);
    assert.deepEqual(await store.leaseKeepAlive(2n ** 62n), { header, id: 2n ** 62n, ttl: 9 });
    await assert.rejects(store.put({ key, value: key }), (error) => {
      assert.ok(error instanceof EtcdError);
      assert.deepEqual(
        [error.code, error.message],
        ["failedPrecondition", "etcdserver: authentication is not enabled"],
      );
      return true;
    });
  });

  it("answers MemberList with one member and health with serving", async (test) => {
    let isUp = true;
    const store = scriptedStore();
    const { status } = store;
    const server = await serve(
      test,
      { ...store, status: () => (isUp ? status() : Promise.reject(etcdErrors.stopped())) },
      { memberName: "one" },
    );
    const client = rawClient(test, server);
    const { members } = decodeMessage(
      memberListResponse,
      await callRaw(client, method.memberList),
      true,
    );
    assert.deepEqual(members, [
      { id: 7n, name: "one", peerUrls: [], clientUrls: [server.endpoint], isLearner: false },
    ]);
    const health = async (): Promise<number> =>
      decodeMessage(healthResponse, await callRaw(client, method.healthCheck), true);
    assert.equal(await health(), healthStatus.serving);
    isUp = false;
    assert.equal(await health(), healthStatus.notServing);
  });

  it("answers what it does not have as unimplemented, by name", async (test) => {
    const client = rawClient(test, await serve(test, scriptedStore()));
    for (const path of [
      "/etcdserverpb.Maintenance/Snapshot",
      "/etcdserverpb.Auth/AuthEnable",
      "/etcdserverpb.KV/RangeStream",
    ]) {
      await assert.rejects(callRaw(client, path), (error) => {
        const { code, details } = error as ServiceError;
        assert.equal(code, 12);
        assert.ok(details.includes(path), details);
        return true;
      });
    }
  });

  it("answers a request that cannot be read with an error and goes on", async (test) => {
    const client = rawClient(test, await serve(test, scriptedStore()));
    const broken = new Promise((resolve, reject) => {
      client.makeUnaryRequest(
        method.range,
        identity,
        identity,
        Buffer.from("0a", "hex"),
        (error, reply) => (error === null ? resolve(reply) : reject(error)),
      );
    });
    await assert.rejects(broken, /cannot be read/);
    const stream = client.makeBidiStreamRequest(method.watch, identity, identity);
    const failure = new Promise<ServiceError>((resolve) => {
      stream.on("error", (error) => resolve(error as ServiceError));
    });
    stream.on("data", () => {});
    stream.write(Buffer.from("0a", "hex"));
    assert.equal((await failure).code, 13);
    assert.ok((await callRaw(client, method.status)).length > 0);
  });

  it("carries lists of many megabytes, and refuses requests above etcd's bound", async (test) => {
    const value = Buffer.alloc(1_000_000, "x");
    const kvs = Array.from({ length: 30 }, () => ({ ...kv, value }));
    const server = await serve(
      test,
      scriptedStore({ range: async () => ({ header, kvs, more: false, count: 30 }) }),
    );
    const store = connect(test, server);
    const response = await store.range({ key });
    assert.deepEqual(
      response.kvs.map((one) => one.value.length),
      kvs.map((one) => one.value.length),
    );
    await assert.rejects(
      store.put({ key, value: Buffer.alloc(3_000_000) }),
      (error) => error instanceof EtcdError && error.code === "resourceExhausted",
    );
  });

  it("lets in over TLS only whom its authority signed", async (test) => {
    const [ca, foreignCa] = await Promise.all([
      createAuthority({ commonName: "test" }),
      createAuthority({ commonName: "foreign" }),
    ]);
    const server = await issueCertificate(ca, {
      subject: { commonName: "server" },
      sans: { ips: ["127.0.0.1"] },
      usages: ["server"],
    });
    const [known, stranger] = await Promise.all(
      [ca, foreignCa].map((authority) =>
        issueCertificate(authority, { subject: { commonName: "client" }, usages: ["client"] }),
      ),
    );
    const { endpoint } = await serve(test, scriptedStore(), {
      tls: { ca: ca.certPem, cert: server.certPem, key: server.keyPem },
    });
    assert.match(endpoint, /^https:/);
    const as = (pair: typeof known | undefined, authority = ca): EtcdStore =>
      connect(test, {
        endpoint,
        tls: {
          ca: authority.certPem,
          ...(pair === undefined ? {} : { cert: pair.certPem, key: pair.keyPem }),
        },
      });
    assert.equal((await as(known).range({ key })).count, 1);
    const isRefused = (error: unknown): boolean =>
      error instanceof EtcdError && error.code === "unavailable";
    await assert.rejects(as(stranger).range({ key }), isRefused);
    await assert.rejects(as(undefined).range({ key }), isRefused);
    await assert.rejects(as(known, foreignCa).range({ key }), isRefused);
  });

  it("listens on a unix socket of its own, also when a dead process left one behind", async (test) => {
    const folder = await mkdtemp(join(tmpdir(), "wherry-sock-"));
    test.after(() => rm(folder, { recursive: true }));
    const path = join(folder, "etcd.sock");
    await leaveDeadSocket(path);
    const server = await serve(test, scriptedStore(), { listen: `unix:${path}` });
    assert.equal((await stat(path)).mode & 0o777, 0o600);
    assert.equal((await connect(test, server).range({ key })).count, 1);
    await assert.rejects(
      serveStore(scriptedStore(), { listen: `unix:${path}`, log: silentLogger }),
      /cannot listen on unix:/,
    );
  });

  it("ends a watch stream whose client takes nothing, and pulls nothing more for it", async (test) => {
    let pulled = 0;
    const cancelled = createDeferred();
    const endless = endlessWatch(100_000, () => {
      pulled += 1;
    });
    const cancel = (): void => {
      endless.cancel();
      cancelled.resolve();
    };
    const server = await serve(test, scriptedStore({ watch: () => ({ ...endless, cancel }) }), {
      stalledTimeoutMs: 300,
    });
    const session = connectHttp2(server.endpoint);
    test.after(() => session.destroy());
    // The server's shutdown, which the test no longer cares about.
    session.on("error", () => {});
    const stream = session.request({
      ":method": "POST",
      ":path": method.watch,
      "content-type": "application/grpc",
      te: "trailers",
    });
    const message = encodeMessage(watchRequest, { kind: "create", create: { key } });
    stream.on("error", () => {});
    stream.write(Buffer.concat([Buffer.from([0, 0, 0, 0, message.length]), message]));
    await cancelled.promise;
    const pulledAtEnd = pulled;
    const trailers = new Promise<IncomingHttpHeaders>((resolve) => {
      stream.on("trailers", resolve);
    });
    stream.resume();
    const { "grpc-status": status, "grpc-message": reason = "" } = await trailers;
    assert.deepEqual(
      [status, decodeURIComponent(String(reason))],
      ["8", "etcdserver: the watch stream took nothing for 300 ms"],
    );
    assert.ok(pulledAtEnd < 100, `${pulledAtEnd} messages were pulled for a client that took none`);
  });
});

describe("the gRPC client", () => {
  it("cancels a watch whose consumer is too slow, with a reason, and leaves others alone", async (test) => {
    const server = await serve(
      test,
      scriptedStore({ watch: ({ prevKv }) => endlessWatch(prevKv === true ? 10_000 : 10) }),
    );
    const store = connect(test, { endpoint: server.endpoint, watchQueueMaxBytes: 200_000 });
    const slow = store.watch({ key, prevKv: true })[Symbol.asyncIterator]();
    const other = store.watch({ key })[Symbol.asyncIterator]();
    await slow.next();
    for (let count = 0; count < 500; count += 1) assert.notEqual((await other.next()).done, true);
    const last = await slow.next();
    assert.ok(last.done !== true && last.value.kind === "canceled");
    assert.equal(
      last.value.reason,
      "the watch is too slow: more than 200000 bytes of events waited for it",
    );
    assert.equal((await slow.next()).done, true);
    assert.notEqual((await other.next()).done, true);
  });

  it("fails with `unavailable` when nobody answers, and works once somebody does", async (test) => {
    const first = await serveStore(scriptedStore(), { listen: "127.0.0.1:0", log: silentLogger });
    const store = connect(test, first);
    assert.equal((await store.range({ key })).count, 1);
    const watch = store.watch({ key })[Symbol.asyncIterator]();
    await watch.next();
    const isUnavailable = (error: unknown): boolean =>
      error instanceof EtcdError && error.code === "unavailable";
    const broken = assert.rejects(watch.next(), isUnavailable);
    await first.close(AbortSignal.timeout(100));
    await broken;
    await assert.rejects(store.range({ key }), isUnavailable);
    await serve(test, scriptedStore(), { listen: first.endpoint.replace("http://", "") });
    const again = store.watch({ key })[Symbol.asyncIterator]();
    for (;;) {
      try {
        assert.equal((await store.range({ key })).count, 1);
        break;
      } catch (error) {
        assert.ok(isUnavailable(error));
        await new Promise(setImmediate);
      }
    }
    await again.next().catch(() => {});
  });

  it("stops waiting when the signal aborts", async (test) => {
    const held = createDeferred<never>();
    const server = await serve(test, scriptedStore({ range: () => held.promise }));
    test.after(() => held.reject(etcdErrors.stopped()));
    const store = connect(test, server);
    const abort = new AbortController();
    const waiting = store.range({ key }, { signal: abort.signal });
    const reason = new Error("enough");
    setImmediate(() => abort.abort(reason));
    await assert.rejects(waiting, (error) => error === reason);
    await assert.rejects(
      store.range({ key }, { signal: abort.signal }),
      (error) => error === reason,
    );
  });
});

/** A socket file that nobody listens on, as a killed process leaves it. */
async function leaveDeadSocket(path: string): Promise<void> {
  const { rename } = await import("node:fs/promises");
  const server = createServer();
  await new Promise<void>((resolve) => {
    server.listen(`${path}.tmp`, resolve);
  });
  await rename(`${path}.tmp`, path);
  await new Promise((resolve) => {
    server.close(resolve);
  });
}

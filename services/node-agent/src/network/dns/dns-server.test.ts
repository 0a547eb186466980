import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { after, before, test } from "node:test";
import packet from "dns-packet";
import fc from "fast-check";
import { createAnswerCache } from "./answer-cache.ts";
import { openDnsServer, type DnsServer } from "./dns-server.ts";
import { createForwarder, type Forwarder } from "./forwarder.ts";
import { createResponder } from "./responder.ts";
import { createZone } from "./zone.ts";

const zone = createZone({
  domain: "cluster.local",
  address: "10.43.0.10",
  clusterCidrs: ["10.43.0.0/16"],
});
zone.put({ key: "default/web", kind: "cluster", addresses: ["10.43.0.20"], ports: [] });
zone.put({
  key: "default/many",
  kind: "headless",
  groups: [
    {
      ports: [],
      endpoints: Array.from({ length: 200 }, (_, index) => ({
        host: `h${index}`,
        address: `10.42.0.${index}`,
      })),
    },
  ],
});
zone.put({ key: "default/outside", kind: "external", target: "www.example.com" });

/** The host's name server: knows www.example.com, has a large answer, and keeps silent for silent.example. */
const upstreamAsked: string[] = [];
const upstream = createSocket("udp4");
const upstreamTcp = createServer((socket) => {
  socket.on("error", () => {});
  socket.on("data", (frame: Buffer) => {
    const answer = upstreamAnswer(packet.decode(frame.subarray(2)), 150);
    const length = Buffer.alloc(2);
    length.writeUInt16BE(answer.length);
    socket.end(Buffer.concat([length, answer]));
  });
});
const upstreamAnswer = (query: packet.Packet, largeCount: number): Buffer => {
  const question = query.questions?.[0];
  const name = question?.name ?? "";
  const folded = name.toLowerCase();
  const answers =
    folded === "www.example.com"
      ? [{ type: "A", name, ttl: 300, data: "93.184.216.34" }]
      : folded === "large.example.com"
        ? Array.from({ length: largeCount }, (_, index) => ({
            type: "A",
            name,
            ttl: 300,
            data: `1.2.3.${index}`,
          }))
        : [];
  const soa = {
    type: "SOA",
    name: "example.com",
    ttl: 60,
    data: {
      mname: "ns.example.com",
      rname: "x.example.com",
      serial: 1,
      refresh: 1,
      retry: 1,
      expire: 1,
      minimum: 20,
    },
  };
  return packet.encode({
    type: "response",
    id: query.id ?? 0,
    flags: answers.length === 0 ? 3 : 0,
    questions: query.questions ?? [],
    answers,
    authorities: answers.length === 0 ? [soa] : [],
  });
};

let now = 0;
let forwarder: Forwarder;
let server: DnsServer;
let allowed = true;

before(async () => {
  upstream.on("message", (message, remote) => {
    const query = packet.decode(message);
    const name = query.questions?.[0]?.name ?? "";
    upstreamAsked.push(name);
    if (name === "silent.example") return;
    // A forged answer comes first: its id is another.
    upstream.send(
      upstreamAnswer({ ...query, id: ((query.id ?? 0) + 1) % 65_536 }, 1),
      remote.port,
      remote.address,
    );
    upstream.send(upstreamAnswer(query, 25), remote.port, remote.address);
  });
  upstream.bind(0, "127.0.0.1");
  await once(upstream, "listening");
  const { port } = upstream.address();
  upstreamTcp.listen(port, "127.0.0.1");
  await once(upstreamTcp, "listening");
  forwarder = createForwarder({ now: () => now, tryMs: 300 });
  forwarder.setUpstreams([{ address: "127.0.0.1", port }]);
  server = await openDnsServer({
    address: "127.0.0.1",
    port: 0,
    responder: createResponder(() => zone, forwarder),
    allows: () => allowed,
  });
});

after(() => {
  server.close();
  upstream.close();
  upstreamTcp.close();
});

const askUdp = async (bytes: Uint8Array, waitMs = 5_000): Promise<packet.Packet | undefined> => {
  const socket = createSocket("udp4");
  try {
    socket.send(bytes, server.port, "127.0.0.1");
    const [message] = (await once(socket, "message", { signal: AbortSignal.timeout(waitMs) })) as [
      Buffer,
    ];
    return packet.decode(message);
  } catch {
    return undefined;
  } finally {
    socket.close();
  }
};
const query = (name: string, more: Partial<packet.Packet> = {}): Buffer =>
  packet.encode({
    type: "query",
    id: 7,
    flags: packet.RECURSION_DESIRED,
    questions: [{ type: "A", name }],
    ...more,
  });
const edns = (size: number): Partial<packet.Packet> => ({
  additionals: [{ type: "OPT", name: ".", udpPayloadSize: size, flags: 0, options: [] }],
});

/** Sends all frames at once and gives as many answers. */
const askTcp = async (...queries: readonly Buffer[]): Promise<packet.Packet[]> => {
  const socket = connect(server.port, "127.0.0.1");
  const frames = queries.flatMap((bytes) => [
    Buffer.from([bytes.length >> 8, bytes.length & 255]),
    bytes,
  ]);
  socket.end(Buffer.concat(frames));
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  let rest = Buffer.concat(chunks);
  const answers: packet.Packet[] = [];
  while (rest.length > 2) {
    const length = rest.readUInt16BE(0);
    answers.push(packet.decode(rest.subarray(2, 2 + length)));
    rest = rest.subarray(2 + length);
  }
  return answers;
};

test("cluster names are answered over UDP and TCP", async () => {
  assert.equal(
    (await askUdp(query("web.default.svc.cluster.local")))?.answers?.[0]?.data,
    "10.43.0.20",
  );
  const answers = await askTcp(
    query("web.default.svc.cluster.local", { id: 1 }),
    query("nothing.default.svc.cluster.local", { id: 2 }),
    query("many.default.svc.cluster.local", { id: 3 }),
  );
  assert.deepEqual(
    answers
      .map((answer) => [answer.id ?? 0, answer.rcode, answer.answers?.length] as const)
      .sort(([a], [b]) => a - b),
    [
      [1, "NOERROR", 1],
      [2, "NXDOMAIN", 0],
      [3, "NOERROR", 200],
    ],
  );
});

test("a long answer is truncated over UDP", async () => {
  const plain = await askUdp(query("many.default.svc.cluster.local"));
  assert.equal(plain?.flag_tc, true);
  const larger = await askUdp(query("many.default.svc.cluster.local", edns(4096)));
  assert.ok((larger?.answers?.length ?? 0) > (plain?.answers?.length ?? 0));
});

test("other names are asked of the host's server once while the answer holds, with its age taken off", async () => {
  upstreamAsked.length = 0;
  const first = await askUdp(query("www.example.com"));
  assert.deepEqual(
    first?.answers?.map((record) => [record.data, record.ttl]),
    [["93.184.216.34", 300]],
  );
  now += 10_000;
  const second = await askUdp(query("WWW.example.com", { id: 8 }));
  assert.deepEqual(
    [second?.id, second?.questions?.[0]?.name, second?.answers?.[0]?.ttl],
    [8, "WWW.example.com", 290],
  );
  assert.equal(upstreamAsked.length, 1);
  now += 21_000;
  await askUdp(query("www.example.com"));
  assert.equal(upstreamAsked.length, 2);
});

test("that a name does not exist is kept too", async () => {
  upstreamAsked.length = 0;
  assert.equal((await askUdp(query("no.example.com")))?.rcode, "NXDOMAIN");
  assert.equal((await askUdp(query("no.example.com")))?.rcode, "NXDOMAIN");
  assert.equal(upstreamAsked.length, 1);
  now += 20_000;
  await askUdp(query("no.example.com"));
  assert.equal(upstreamAsked.length, 2);
});

test("an upstream answer that is too long for the client is truncated, and whole over TCP", async () => {
  const cut = await askUdp(query("large.example.com"));
  assert.deepEqual([cut?.flag_tc, cut?.answers?.length], [true, 0]);
  assert.equal((await askUdp(query("large.example.com", edns(1232))))?.answers?.length, 25);
  assert.deepEqual(
    (await askTcp(query("large.example.com"))).map((answer) => answer.answers?.length),
    [150],
  );
});

test("the address behind an external name comes with it", async () => {
  const answer = await askUdp(query("outside.default.svc.cluster.local"));
  assert.deepEqual(
    answer?.answers?.map((record) => record.data),
    ["www.example.com", "93.184.216.34"],
  );
});

test("a silent server gives SERVFAIL, equal questions are asked once, and too many are refused", async () => {
  upstreamAsked.length = 0;
  const answers = await Promise.all([
    askUdp(query("silent.example")),
    askUdp(query("silent.example")),
  ]);
  assert.deepEqual(
    answers.map((answer) => answer?.rcode),
    ["SERVFAIL", "SERVFAIL"],
  );
  assert.equal(upstreamAsked.length, 3);
  const small = createForwarder({ now: () => now, tryMs: 100, inFlightMax: 1 });
  small.setUpstreams([{ address: "127.0.0.1", port: upstream.address().port }]);
  const responder = createResponder(() => zone, small);
  const both = await Promise.all([
    responder.respond(query("silent.example"), "udp"),
    responder.respond(query("other.example"), "udp"),
  ]);
  assert.deepEqual(
    both.map((bytes) => packet.decode(Buffer.from(bytes ?? [])).rcode),
    ["SERVFAIL", "SERVFAIL"],
  );
  assert.equal(upstreamAsked.includes("other.example"), false);
});

test("without a name server other names are refused", async () => {
  const responder = createResponder(() => zone, createForwarder({ now: () => now }));
  assert.equal(
    packet.decode(Buffer.from((await responder.respond(query("example.com"), "udp")) ?? [])).rcode,
    "REFUSED",
  );
});

test("who is not allowed to ask hears nothing", async () => {
  allowed = false;
  try {
    assert.equal(await askUdp(query("web.default.svc.cluster.local"), 100), undefined);
    await assert.rejects(
      askTcp(query("web.default.svc.cluster.local")).then((answers) =>
        assert.ok(answers.length > 0),
      ),
    );
  } finally {
    allowed = true;
  }
});

test("no datagram and no TCP stream stops the server", async () => {
  const valid = query("web.default.svc.cluster.local", edns(1232));
  const samples = fc.sample(
    fc.oneof(
      fc.uint8Array({ maxLength: 600 }),
      fc.array(fc.tuple(fc.nat(valid.length - 1), fc.nat(255)), { maxLength: 8 }).map((edits) => {
        const bytes = Uint8Array.from(valid);
        // The questions must stay ours: what is not the cluster's would be asked of the upstream.
        for (const [at, value] of edits) if (at < 12 || at > 42) bytes[at] = value;
        return bytes;
      }),
    ),
    { numRuns: 1_000, seed: 21 },
  );
  const socket = createSocket("udp4");
  for (const sample of samples)
    await new Promise<void>((resolve) =>
      socket.send(sample, server.port, "127.0.0.1", () => resolve()),
    );
  socket.close();
  for (const sample of samples.slice(0, 50)) {
    const stream = connect(server.port, "127.0.0.1");
    stream.on("error", () => {});
    stream.end(sample);
    stream.resume();
    await once(stream, "close");
  }
  assert.equal(
    (await askUdp(query("web.default.svc.cluster.local")))?.answers?.[0]?.data,
    "10.43.0.20",
  );
});

test("the cache keeps no more than its bounds", () => {
  const cache = createAnswerCache(() => 0);
  for (let index = 0; index < 1_200; index += 1)
    cache.put(
      `n${index}`,
      upstreamAnswer({ id: 1, questions: [{ type: "A", name: "www.example.com" }] }, 1),
    );
  assert.equal(cache.get("n0"), undefined);
  assert.ok(cache.get("n1199") !== undefined);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import packet from "dns-packet";
import fc from "fast-check";
import {
  encodeAnswer,
  encodeQuery,
  readMessage,
  readQuery,
  recordType,
  responseCode,
  udpAnswerMaxBytes,
  type DnsQuery,
  type DnsRecord,
} from "./dns-message.ts";
import {
  addressOfReverseName,
  foldName,
  isEncodableName,
  MalformedMessageError,
  nameLabels,
  readName,
} from "./dns-name.ts";

// dns-packet is the oracle for the wire format (RFC 1035, 2782, 3596, 6891).

const query = (name: string, type: string, more: Partial<packet.Packet> = {}): DnsQuery => {
  const reading = readQuery(
    packet.encode({
      type: "query",
      id: 4711,
      flags: packet.RECURSION_DESIRED,
      questions: [{ type, name }],
      ...more,
    }),
  );
  assert.equal(reading.kind, "query");
  return reading.kind === "query" ? reading.query : assert.fail();
};
const answerOf = (
  records: Partial<Record<"answers" | "authorities" | "additionals", readonly DnsRecord[]>>,
) => ({
  code: responseCode.noError,
  authoritative: true,
  answers: [],
  authorities: [],
  additionals: [],
  ...records,
});

test("a query is read with its flags and EDNS0 options", () => {
  const plain = query("Web.Default.svc.cluster.local", "A");
  assert.deepEqual(plain.question, { name: "Web.Default.svc.cluster.local", type: 1, class: 1 });
  assert.equal(plain.recursionDesired, true);
  assert.equal(udpAnswerMaxBytes(plain), 512);
  const edns = query("x", "AAAA", {
    additionals: [
      { type: "OPT", name: ".", udpPayloadSize: 4096, flags: packet.DNSSEC_OK, options: [] },
    ],
  });
  assert.deepEqual(edns.edns, { udpBytes: 4096, version: 0, dnssecOk: true });
  assert.equal(udpAnswerMaxBytes(edns), 1_232);
});

test("answers of every type are read by dns-packet as they were meant", () => {
  const name = "web.default.svc.cluster.local";
  const answers: DnsRecord[] = [
    { type: "A", name, ttl: 5, address: "10.43.0.10" },
    { type: "AAAA", name, ttl: 5, address: "fd00:43::a" },
    { type: "CNAME", name, ttl: 5, target: "example.com" },
    { type: "PTR", name: "10.0.43.10.in-addr.arpa", ttl: 5, target: name },
    { type: "NS", name: "cluster.local", ttl: 5, target: "ns.dns.cluster.local" },
    {
      type: "SRV",
      name: `_http._tcp.${name}`,
      ttl: 5,
      priority: 0,
      weight: 100,
      port: 80,
      target: name,
    },
    { type: "TXT", name: "dns-version.cluster.local", ttl: 5, text: "1.1.0" },
    {
      type: "SOA",
      name: "cluster.local",
      ttl: 5,
      primary: "ns.dns.cluster.local",
      mailbox: "hostmaster.cluster.local",
      serial: 4_000_000_000,
      refresh: 7200,
      retry: 1800,
      expire: 86400,
      minimum: 5,
    },
  ];
  const bytes = encodeAnswer(query(name.toUpperCase(), "A"), answerOf({ answers }), 4096);
  const read = packet.decode(Buffer.from(bytes));
  assert.equal(read.id, 4711);
  assert.equal(read.flag_aa, true);
  assert.equal(read.flag_ra, true);
  // The owner points to the question and keeps the asker's letters.
  assert.equal(read.answers?.[0]?.name, name.toUpperCase());
  const data = JSON.stringify(
    read.answers?.map((answer) => (answer.type === "TXT" ? String(answer.data) : answer.data)),
  ).toLowerCase();
  assert.deepEqual(JSON.parse(data), [
    "10.43.0.10",
    "fd00:43::a",
    "example.com",
    name,
    "ns.dns.cluster.local",
    { priority: 0, weight: 100, port: 80, target: name },
    "1.1.0",
    {
      mname: "ns.dns.cluster.local",
      rname: "hostmaster.cluster.local",
      serial: 4_000_000_000,
      refresh: 7200,
      retry: 1800,
      expire: 86400,
      minimum: 5,
    },
  ]);
});

test("an answer that is too long for UDP is cut at a record, says so, and still carries EDNS0", () => {
  const many: DnsRecord[] = Array.from({ length: 100 }, (_, index) => ({
    type: "A",
    name: "web.default.svc.cluster.local",
    ttl: 5,
    address: `10.42.0.${index}`,
  }));
  const plain = query("web.default.svc.cluster.local", "A");
  const cut = encodeAnswer(plain, answerOf({ answers: many }), udpAnswerMaxBytes(plain));
  assert.ok(cut.length <= 512 && cut.length > 480);
  const read = packet.decode(Buffer.from(cut));
  assert.equal(read.flag_tc, true);
  assert.equal(read.answers?.length, Math.floor((512 - 12 - 35) / 16));
  const edns = query("web.default.svc.cluster.local", "A", {
    additionals: [{ type: "OPT", name: ".", udpPayloadSize: 1232, flags: 0, options: [] }],
  });
  const larger = encodeAnswer(edns, answerOf({ answers: many }), udpAnswerMaxBytes(edns));
  assert.ok(larger.length <= 1232);
  assert.equal(packet.decode(Buffer.from(larger)).additionals?.[0]?.type, "OPT");
  const whole = packet.decode(
    Buffer.from(encodeAnswer(plain, answerOf({ answers: many }), 65_535)),
  );
  assert.equal(whole.flag_tc, false);
  assert.equal(whole.answers?.length, 100);
});

test("additional records that do not fit are left out without TC", () => {
  const additionals: DnsRecord[] = Array.from({ length: 100 }, (_, index) => ({
    type: "A",
    name: `h${index}.example`,
    ttl: 5,
    address: "10.42.0.1",
  }));
  const read = packet.decode(
    Buffer.from(encodeAnswer(query("x", "SRV"), answerOf({ additionals }), 512)),
  );
  assert.equal(read.flag_tc, false);
  assert.ok((read.additionals?.length ?? 0) < 100);
});

test("our queries and dns-packet's answers are understood", () => {
  const asked = packet.decode(
    Buffer.from(encodeQuery(77, { name: "example.com", type: recordType.A, class: 1 })),
  );
  assert.equal(asked.questions?.[0]?.name, "example.com");
  assert.equal(asked.additionals?.[0]?.type, "OPT");
  const bytes = packet.encode({
    type: "response",
    id: 77,
    flags: packet.TRUNCATED_RESPONSE | 3,
    questions: [{ type: "A", name: "example.com" }],
    answers: [{ type: "A", name: "example.com", ttl: 300, data: "1.2.3.4" }],
  });
  const message = readMessage(bytes);
  assert.equal(message.truncated, true);
  assert.equal(message.code, 3);
  assert.deepEqual(
    message.answers.map(({ name, type, ttl, dataLength }) => ({ name, type, ttl, dataLength })),
    [{ name: "example.com", type: 1, ttl: 300, dataLength: 4 }],
  );
});

test("names survive the wire", () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.string({
          unit: fc.integer({ min: 1, max: 255 }).map((code) => String.fromCharCode(code)),
          minLength: 1,
          maxLength: 20,
        }),
        { maxLength: 6 },
      ),
      (labels) => {
        const name = labels
          .map((label) => label.replaceAll("\\", "\\\\").replaceAll(".", "\\."))
          .join(".");
        assert.deepEqual(nameLabels(name), labels);
        assert.equal(isEncodableName(name), true);
        const bytes = encodeQuery(1, { name, type: 1, class: 1 });
        assert.equal(readName(bytes, 12).name, name);
      },
    ),
    { seed: 3 },
  );
  assert.equal(foldName("ÄbC.X"), "Äbc.x");
});

test("reverse names give their address", () => {
  assert.equal(addressOfReverseName("10.0.43.10.IN-ADDR.ARPA"), "10.43.0.10");
  assert.equal(
    addressOfReverseName(
      "b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa",
    ),
    "2001:0db8:0000:0000:0000:0000:0567:89ab",
  );
  for (const name of [
    "0.43.10.in-addr.arpa",
    "300.0.43.10.in-addr.arpa",
    "01.0.43.10.in-addr.arpa",
    "in-addr.arpa",
    "x.ip6.arpa",
  ])
    assert.equal(addressOfReverseName(name), undefined);
});

test("pointers that loop, lead forwards or out of the message are refused", () => {
  const header = [0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
  for (const name of [
    [0xc0, 12],
    [0xc0, 14, 0],
    [0xc0, 0xff],
    [1, 97, 0xc0, 12],
    [0x80, 1, 0],
    [63, 1, 0],
    [0xc0],
  ]) {
    const reading = readQuery(Uint8Array.from([...header, ...name, 0, 1, 0, 1]));
    assert.deepEqual(
      { ...reading },
      { kind: "refuse", id: 7, opcode: 0, code: responseCode.formatError },
    );
  }
});

test("no bytes make the readers throw anything but their error", () => {
  const seed = packet.encode({
    type: "query",
    id: 1,
    questions: [{ type: "A", name: "a.b.example.com" }],
    additionals: [{ type: "OPT", name: ".", udpPayloadSize: 4096, flags: 0, options: [] }],
  });
  const mutated = fc
    .array(fc.tuple(fc.nat(seed.length - 1), fc.nat(255)), { maxLength: 6 })
    .map((edits) => {
      const bytes = Uint8Array.from(seed);
      for (const [at, value] of edits) bytes[at] = value;
      return bytes;
    });
  fc.assert(
    fc.property(fc.oneof(mutated, fc.uint8Array({ maxLength: 80 })), (bytes) => {
      const reading = readQuery(bytes);
      if (reading.kind === "query") assert.ok(reading.query.questionEnd <= bytes.length);
      try {
        readMessage(bytes);
      } catch (error) {
        assert.ok(error instanceof MalformedMessageError);
      }
    }),
    { numRuns: 5_000, seed: 5 },
  );
});

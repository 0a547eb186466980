import assert from "node:assert/strict";
import { test } from "node:test";
import packet from "dns-packet";
import type { EndpointSlice, Service } from "@wherry/machinery";
import { createForwarder } from "./forwarder.ts";
import { createResponder } from "./responder.ts";
import { createZone } from "./zone.ts";
import { zoneHost, zoneService } from "./zone-services.ts";

// Expected answers are those of the DNS specification 1.1.0; what goes beyond it (pod names, node names, host names from addresses) is CoreDNS' habit.

const zone = createZone({
  domain: "cluster.local",
  address: "10.43.0.10",
  clusterCidrs: ["10.42.0.0/16", "10.43.0.0/16"],
});
const responder = createResponder(() => zone, createForwarder({ now: () => 0 }));

const service = (name: string, spec: Service["spec"]): Service => ({
  metadata: { name, namespace: "default" },
  spec,
});
const slice = (
  service: string,
  addressType: string,
  ports: EndpointSlice["ports"],
  endpoints: NonNullable<EndpointSlice["endpoints"]>,
): EndpointSlice => ({
  metadata: {
    name: `${service}-${addressType}`,
    namespace: "default",
    labels: { "kubernetes.io/service-name": service },
  },
  addressType,
  ports: ports ?? [],
  endpoints,
});
const put = (one: Service, ...slices: EndpointSlice[]): void => {
  const entry = zoneService(one, slices);
  if (entry !== undefined) zone.put(entry);
};

put(
  service("web", {
    clusterIP: "10.43.0.20",
    clusterIPs: ["10.43.0.20", "fd00:43::20"],
    ports: [{ name: "http", port: 80 }, { name: "dns", port: 53, protocol: "UDP" }, { port: 9 }],
  }),
);
put(
  service("db", { clusterIP: "None" }),
  slice(
    "db",
    "IPv4",
    [{ name: "sql", port: 5432 }],
    [
      { addresses: ["10.42.0.5"], hostname: "db-0" },
      { addresses: ["10.42.0.6"], hostname: "db-1" },
      { addresses: ["10.42.0.7"] },
      { addresses: ["10.42.0.8"], conditions: { ready: false } },
    ],
  ),
  slice(
    "db",
    "IPv6",
    [{ name: "sql", port: 5432 }],
    [{ addresses: ["fd00:42::5"], hostname: "db-0" }],
  ),
);
put(
  service("asleep", { clusterIP: "None" }),
  slice("asleep", "IPv4", [], [{ addresses: ["10.42.0.9"], conditions: { ready: false } }]),
);
put(service("outside", { type: "ExternalName", externalName: "db.example.com" }));
put(service("inside", { type: "ExternalName", externalName: "web.default.svc.cluster.local." }));
put(service("loop", { type: "ExternalName", externalName: "loop.default.svc.cluster.local" }));
zone.setNamespaces(["default", "empty"], []);
const host = zoneHost({
  metadata: { name: "Node-1" },
  spec: {},
  status: {
    addresses: [
      { type: "InternalIP", address: "192.168.7.1" },
      { type: "Hostname", address: "Node-1" },
    ],
  },
});
if (host !== undefined) zone.putHost(host);

const ask = async (
  name: string,
  type: string,
  more: Partial<packet.Packet> = {},
): Promise<packet.Packet> => {
  const bytes = await responder.respond(
    packet.encode({
      type: "query",
      id: 9,
      flags: packet.RECURSION_DESIRED,
      questions: [{ type, name }],
      ...more,
    }),
    "udp",
  );
  assert.ok(bytes !== undefined);
  return packet.decode(Buffer.from(bytes));
};
const datas = async (name: string, type: string): Promise<unknown[]> => {
  const answer = await ask(name, type);
  assert.equal(answer.rcode, "NOERROR", `${name} ${type}`);
  assert.equal(answer.flag_aa, true);
  return (answer.answers ?? [])
    .map((record) => record.data)
    .sort((a, b) => String(a).localeCompare(String(b)));
};
const assertNegative = async (
  name: string,
  type: string,
  rcode: "NOERROR" | "NXDOMAIN",
): Promise<void> => {
  const answer = await ask(name, type);
  assert.equal(answer.rcode, rcode, `${name} ${type}`);
  assert.equal(answer.answers?.length, 0);
  assert.equal(answer.authorities?.[0]?.type, "SOA");
  assert.equal((answer.authorities?.[0]?.data as { minimum: number } | undefined)?.minimum, 5);
};

test("a service's name is its cluster IP of each family", async () => {
  assert.deepEqual(await datas("web.default.svc.cluster.local", "A"), ["10.43.0.20"]);
  assert.deepEqual(await datas("WEB.default.SVC.cluster.local", "AAAA"), ["fd00:43::20"]);
  assert.equal((await ask("web.default.svc.cluster.local", "A")).answers?.[0]?.ttl, 5);
});

test("a named port has an SRV record with the target's addresses", async () => {
  const answer = await ask("_http._tcp.web.default.svc.cluster.local", "SRV");
  assert.deepEqual(
    answer.answers?.map((record) => record.data),
    [{ priority: 0, weight: 100, port: 80, target: "web.default.svc.cluster.local" }],
  );
  assert.deepEqual(
    answer.additionals?.map((record) => record.data),
    ["10.43.0.20", "fd00:43::20"],
  );
  assert.deepEqual(
    (await ask("_dns._udp.web.default.svc.cluster.local", "SRV")).answers?.length,
    1,
  );
  await assertNegative("_http._udp.web.default.svc.cluster.local", "SRV", "NXDOMAIN");
  await assertNegative("_http._tcp.web.default.svc.cluster.local", "A", "NOERROR");
});

test("a headless service's name is its ready endpoints", async () => {
  assert.deepEqual(await datas("db.default.svc.cluster.local", "A"), [
    "10.42.0.5",
    "10.42.0.6",
    "10.42.0.7",
  ]);
  assert.deepEqual(await datas("db.default.svc.cluster.local", "AAAA"), ["fd00:42::5"]);
  await assertNegative("asleep.default.svc.cluster.local", "A", "NXDOMAIN");
});

test("an endpoint has a name of its own", async () => {
  assert.deepEqual(await datas("db-0.db.default.svc.cluster.local", "A"), ["10.42.0.5"]);
  assert.deepEqual(await datas("db-0.db.default.svc.cluster.local", "AAAA"), ["fd00:42::5"]);
  assert.deepEqual(await datas("10-42-0-7.db.default.svc.cluster.local", "A"), ["10.42.0.7"]);
  await assertNegative("db-9.db.default.svc.cluster.local", "A", "NXDOMAIN");
  const answer = await ask("_sql._tcp.db.default.svc.cluster.local", "SRV");
  assert.deepEqual(
    answer.answers?.map((record) => (record.data as { target: string }).target).sort(),
    [
      "10-42-0-7.db.default.svc.cluster.local",
      "db-0.db.default.svc.cluster.local",
      "db-1.db.default.svc.cluster.local",
    ],
  );
  assert.equal(answer.additionals?.length, 4);
});

test("addresses lead back to names", async () => {
  assert.deepEqual(await datas("20.0.43.10.in-addr.arpa", "PTR"), [
    "web.default.svc.cluster.local",
  ]);
  assert.deepEqual(await datas("5.0.42.10.in-addr.arpa", "PTR"), [
    "db-0.db.default.svc.cluster.local",
  ]);
  assert.deepEqual(
    await datas("0.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.3.4.0.0.0.0.d.f.ip6.arpa", "PTR"),
    ["web.default.svc.cluster.local"],
  );
  await assertNegative("99.0.43.10.in-addr.arpa", "PTR", "NXDOMAIN");
  assert.equal((await ask("4.4.8.8.in-addr.arpa", "PTR")).rcode, "REFUSED");
});

test("an external name is an alias, with the records behind it where they are the cluster's", async () => {
  assert.deepEqual(
    (await ask("outside.default.svc.cluster.local", "A")).answers?.map((record) => [
      record.type,
      record.data,
    ]),
    [["CNAME", "db.example.com"]],
  );
  assert.deepEqual(
    (await ask("outside.default.svc.cluster.local", "CNAME")).answers?.map((record) => record.data),
    ["db.example.com"],
  );
  assert.deepEqual(
    (await ask("inside.default.svc.cluster.local", "A")).answers?.map((record) => record.data),
    ["web.default.svc.cluster.local", "10.43.0.20"],
  );
  assert.equal((await ask("loop.default.svc.cluster.local", "A")).answers?.length, 9);
});

test("a name that exists without such a record is empty, one that does not exist is NXDOMAIN", async () => {
  for (const [name, type] of [
    ["db-1.db.default.svc.cluster.local", "AAAA"],
    ["web.default.svc.cluster.local", "TXT"],
    ["default.svc.cluster.local", "A"],
    ["empty.svc.cluster.local", "A"],
    ["svc.cluster.local", "A"],
    ["pod.cluster.local", "A"],
    ["cluster.local", "A"],
    ["_tcp.web.default.svc.cluster.local", "A"],
    ["dns.cluster.local", "A"],
    ["dns-version.cluster.local", "A"],
  ] as const)
    await assertNegative(name, type, "NOERROR");
  for (const name of [
    "web.default.svc.cluster.local.default.svc.cluster.local",
    "nothing.default.svc.cluster.local",
    "web.nowhere.svc.cluster.local",
    "nowhere.svc.cluster.local",
    "x.cluster.local",
    "x.web.default.svc.cluster.local",
    "example.com.default.svc.cluster.local",
    "x.asleep.default.svc.cluster.local",
  ]) {
    await assertNegative(name, "A", "NXDOMAIN");
    await assertNegative(name, "AAAA", "NXDOMAIN");
  }
});

test("a pod's address is a name in its namespace", async () => {
  assert.deepEqual(await datas("10-42-3-4.default.pod.cluster.local", "A"), ["10.42.3.4"]);
  assert.deepEqual(await datas("fd00-42--5.default.pod.cluster.local", "AAAA"), ["fd00:42::5"]);
  await assertNegative("10-42-3-4.default.pod.cluster.local", "AAAA", "NOERROR");
  await assertNegative("10-42-3-4.nowhere.pod.cluster.local", "A", "NXDOMAIN");
  await assertNegative("10-42-3-400.default.pod.cluster.local", "A", "NXDOMAIN");
});

test("a node's name is its address", async () => {
  assert.deepEqual(await datas("node-1", "A"), ["192.168.7.1"]);
  assert.deepEqual(await datas("1.7.168.192.in-addr.arpa", "PTR"), ["node-1"]);
});

test("the zone says its version, its server and its SOA", async () => {
  assert.deepEqual((await datas("dns-version.cluster.local", "TXT")).flat().map(String), ["1.1.0"]);
  assert.deepEqual(await datas("ns.dns.cluster.local", "A"), ["10.43.0.10"]);
  assert.deepEqual(await datas("cluster.local", "NS"), ["ns.dns.cluster.local"]);
  assert.equal((await datas("cluster.local", "SOA")).length, 1);
});

test("what cannot be answered is refused by its code", async () => {
  assert.equal((await ask("example.com", "A")).rcode, "REFUSED");
  assert.equal((await ask("cluster.local", "AXFR")).rcode, "REFUSED");
  assert.equal((await ask("cluster.local", "ANY")).rcode, "NOTIMP");
  const version = await ask("web.default.svc.cluster.local", "A", {
    additionals: [
      {
        type: "OPT",
        name: ".",
        udpPayloadSize: 1232,
        flags: 0,
        options: [],
        ednsVersion: 1,
      } as packet.Answer,
    ],
  });
  assert.equal(
    (version.additionals?.[0] as { extendedRcode?: number } | undefined)?.extendedRcode,
    1,
  );
});

test("clients that take the first record are spread over all", async () => {
  const firsts = new Set<unknown>();
  for (let index = 0; index < 6; index += 1)
    firsts.add((await ask("db.default.svc.cluster.local", "A")).answers?.[0]?.data);
  assert.equal(firsts.size, 3);
});

test("what is removed is gone in both directions", async () => {
  put(service("brief", { clusterIP: "10.43.0.77", ports: [] }));
  put(service("brief", { clusterIP: "10.43.0.78", ports: [] }));
  await assertNegative("77.0.43.10.in-addr.arpa", "PTR", "NXDOMAIN");
  zone.remove("default/brief");
  await assertNegative("brief.default.svc.cluster.local", "A", "NXDOMAIN");
  await assertNegative("78.0.43.10.in-addr.arpa", "PTR", "NXDOMAIN");
});

import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import packet from "dns-packet";
import { resources } from "@wherry/client";
import { createMemoryApi } from "@wherry/client/testing";
import type { Service } from "@wherry/machinery";
import { createCommandRunner } from "@wherry/net";
import { missingForNamespaces, openNamespace, openProbe } from "@wherry/net/testing";
import { silentLogger, systemClock } from "@wherry/service-kit";
import { createClusterDns, type ClusterDns } from "./cluster-dns.ts";
import { dnsProcessFiles, terminateDns } from "./dns/dns-process.ts";
import { readLiveProcess } from "./dns/process-identity.ts";
import { upstreamsOf } from "./dns/resolv-conf.ts";
import { clusterDnsConfig } from "./network-config.ts";
import { eventually } from "./testing/eventually.ts";

const entry = fileURLToPath(new URL("../dns-main.ts", import.meta.url));
const service = (name: string, clusterIP: string): Service => ({
  apiVersion: "v1",
  kind: "Service",
  metadata: { name, namespace: "default" },
  spec: { clusterIP, clusterIPs: [clusterIP], ports: [{ port: 80 }] },
});
const namespace = { apiVersion: "v1", kind: "Namespace", metadata: { name: "default" } };
const node = {
  apiVersion: "v1",
  kind: "Node",
  metadata: { name: "here" },
  spec: { podCIDR: "10.42.0.0/24" },
  status: { addresses: [{ type: "InternalIP", address: "192.168.7.1" }] },
};

/** The loopback address is there already, so this needs no root. */
describe("the DNS process and its agent", () => {
  const api = createMemoryApi();
  const run = createCommandRunner();
  let folder: string;
  let port: number;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "wherry-dns-"));
    await writeFile(join(folder, "resolv.conf"), "");
    const free = createServer().listen(0, "127.0.0.1");
    await once(free, "listening");
    port = (free.address() as AddressInfo).port;
    free.close();
    await once(free, "close");
    api.seed(namespace, node, service("web", "10.43.0.20"));
  });

  after(async () => {
    await terminateDns(join(folder, "dns"), run);
    await rm(folder, { recursive: true, force: true });
  });

  const start = async (more: object = {}): Promise<ClusterDns> => {
    const config = clusterDnsConfig.parse({
      nodeName: "here",
      address: "127.0.0.1",
      port,
      resolvConf: join(folder, "resolv.conf"),
      runDir: join(folder, "dns"),
      dnsCommand: [process.execPath, entry],
      gatherMs: 1,
      ...more,
    });
    const dns = createClusterDns(config, {
      api: api.client,
      run,
      clock: systemClock,
      log: silentLogger,
    });
    await dns.start(new AbortController().signal);
    await dns.whenAnswering();
    return dns;
  };
  const stop = (dns: ClusterDns): Promise<void> => dns.stop(new AbortController().signal);
  const live = () => readLiveProcess(dnsProcessFiles(join(folder, "dns")).state);
  const ask = async (name: string): Promise<unknown> => {
    const socket = createSocket("udp4");
    try {
      socket.send(
        packet.encode({ type: "query", id: 1, questions: [{ type: "A", name }] }),
        port,
        "127.0.0.1",
      );
      const [message] = (await once(socket, "message", { signal: AbortSignal.timeout(3_000) })) as [
        Buffer,
      ];
      const answer = packet.decode(message);
      return answer.answers?.[0]?.data ?? answer.rcode;
    } finally {
      socket.close();
    }
  };

  test("the process answers with what there is, follows changes, and goes on when the agent stops", async () => {
    const dns = await start();
    assert.equal(await ask("web.default.svc.cluster.local"), "10.43.0.20");
    assert.equal(await ask("here"), "192.168.7.1");
    api.seed(service("late", "10.43.0.21"));
    await eventually(
      "the new service has a name",
      async () => (await ask("late.default.svc.cluster.local")) === "10.43.0.21",
    );
    await api.client.delete(resources.services, "late", "default");
    await eventually(
      "the name is gone",
      async () => (await ask("late.default.svc.cluster.local")) === "NXDOMAIN",
    );
    assert.deepEqual(dns.health(), { status: "ok" });
    await stop(dns);
    assert.equal(await ask("web.default.svc.cluster.local"), "10.43.0.20");
  });

  test("the next agent adopts the process and brings it up to date at once", async () => {
    const earlier = live();
    await api.client.delete(resources.services, "web", "default");
    api.seed(service("other", "10.43.0.22"));
    const dns = await start();
    assert.deepEqual(live(), earlier);
    assert.equal(await ask("other.default.svc.cluster.local"), "10.43.0.22");
    assert.equal(await ask("web.default.svc.cluster.local"), "NXDOMAIN");
    await stop(dns);
  });

  test("a process that dies is started again and fed", async () => {
    const dns = await start();
    const earlier = live();
    await run.run(["sh", "-c", `kill -9 ${earlier?.pid ?? assert.fail()}`]);
    await eventually("another process answers", async () => {
      const now = live();
      return now !== undefined && now.pid !== earlier?.pid && dns.health().status === "ok";
    });
    assert.equal(await ask("other.default.svc.cluster.local"), "10.43.0.22");
    await stop(dns);
  });

  test("a process of another build is replaced", async () => {
    const earlier = live();
    const dns = await start({ dnsCommand: [process.execPath, "--no-warnings", entry] });
    assert.notEqual(live()?.pid, earlier?.pid);
    assert.equal(await ask("other.default.svc.cluster.local"), "10.43.0.22");
    await stop(dns);
  });

  test("an address that is taken is reported and taken over once it is free", async () => {
    await terminateDns(join(folder, "dns"), run);
    const holder = createSocket("udp4");
    holder.bind(port, "127.0.0.1");
    await once(holder, "listening");
    const config = clusterDnsConfig.parse({
      nodeName: "here",
      address: "127.0.0.1",
      port,
      resolvConf: "",
      runDir: join(folder, "dns"),
      dnsCommand: [process.execPath, entry],
      gatherMs: 1,
    });
    const dns = createClusterDns(config, {
      api: api.client,
      run,
      clock: systemClock,
      log: silentLogger,
    });
    await dns.start(new AbortController().signal);
    await eventually("it is reported", () => {
      const health = dns.health();
      return health.status === "failing" && health.reason.includes("EADDRINUSE");
    });
    holder.close();
    await dns.whenAnswering();
    await stop(dns);
  });

  test("killall ends it and leaves no files", async () => {
    assert.equal(await terminateDns(join(folder, "dns"), run), 1);
    assert.equal(live(), undefined);
    assert.equal(await terminateDns(join(folder, "dns"), run), 0);
    await assert.rejects(readFile(dnsProcessFiles(join(folder, "dns")).socket), { code: "ENOENT" });
  });
});

test(
  "only the node and its pods are answered",
  { skip: missingForNamespaces(["ip"]) },
  async () => {
    const folder = await mkdtemp(join(tmpdir(), "wherry-dns-"));
    const api = createMemoryApi();
    api.seed(namespace, node, service("web", "10.43.0.20"));
    const [space, client] = [await openNamespace(), await openNamespace()];
    const runDir = join(folder, "dns");
    try {
      await space.ip([
        `link add eth0 type veth peer name eth0 netns ${client.pid}`,
        "addr add 192.168.7.1/24 dev eth0",
        "addr add 10.42.0.1/24 dev eth0",
        "link set eth0 up",
      ]);
      await client.ip([
        "addr add 192.168.7.2/24 dev eth0",
        "addr add 10.42.0.5/24 dev eth0",
        "link set eth0 up",
        "route add 10.43.0.10/32 via 192.168.7.1",
      ]);
      const config = clusterDnsConfig.parse({
        nodeName: "here",
        resolvConf: "",
        runDir,
        dnsCommand: [...space.prefix, process.execPath, entry],
      });
      const dns = createClusterDns(config, {
        api: api.client,
        run: space,
        clock: systemClock,
        log: silentLogger,
      });
      await dns.start(new AbortController().signal);
      await dns.whenAnswering();
      const [own, other] = [await openProbe(space.prefix), await openProbe(client.prefix)];
      const question = {
        protocol: "udp",
        address: "10.43.0.10",
        port: 53,
        timeoutMs: 300,
      } as const;
      // Who may ask has a connection that waits for a query; anybody else's is closed at once.
      const heard = async (probe: typeof own, localAddress?: string): Promise<string> =>
        probe.ask({
          ...question,
          protocol: "tcp",
          ...(localAddress === undefined ? {} : { localAddress }),
        });
      try {
        assert.equal(await heard(own), "timeout");
        assert.equal(await heard(other, "10.42.0.5"), "timeout");
        assert.notEqual(await heard(other, "192.168.7.2"), "timeout");
      } finally {
        await Promise.all([own.close(), other.close()]);
        await dns.stop(new AbortController().signal);
      }
    } finally {
      await terminateDns(runDir, space);
      await space.close();
      await client.close();
      await rm(folder, { recursive: true, force: true });
    }
  },
);

test("name servers are read from the resolver file, without our own", () => {
  const text =
    "# x\nsearch a.b\nnameserver 10.43.0.10\nnameserver 192.168.7.254\n nameserver fe80::1%eth0 # y\nnameserver nonsense\noptions ndots:5\nnameserver 1.1.1.1\nnameserver 9.9.9.9\n";
  assert.deepEqual(
    upstreamsOf(text, "10.43.0.10").map(({ address }) => address),
    ["192.168.7.254", "fe80::1", "1.1.1.1"],
  );
});

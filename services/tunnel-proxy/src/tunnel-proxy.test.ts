import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { Agent, request } from "node:https";
import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { after, before, test } from "node:test";
import { createApiClient } from "@wherry/client";
import { createMemoryApi } from "@wherry/client/testing";
import { createConnectDialer } from "@wherry/net";
import { createAuthority, issueCertificate, type KeyPair } from "@wherry/pki";
import {
  createNullMetrics,
  parseConfig,
  silentLogger,
  systemClock,
  type HttpHandler,
  type Service,
} from "@wherry/service-kit";
import {
  createKubeletGate,
  createTunnelClient,
  createTunnelProxy,
  joinCluster,
  JoinError,
  tunnelProxyConfig,
  type JoinedCluster,
  type TunnelProxy,
} from "./index.ts";
import { matches, hashPassword } from "./node-passwords.ts";

let folder: string;
let serverCa: KeyPair;
let clientCa: KeyPair;
let apiserverCert: KeyPair;
let proxy: TunnelProxy;
let serverUrl: string;
const signal = new AbortController().signal;
const upstream: HttpHandler = {
  handle(incoming, response) {
    const answer = response as ServerResponse;
    answer.writeHead(200);
    answer.end(`upstream ${incoming.url}`);
  },
  upgrade: (_request, socket) => void socket.destroy(),
};

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "tunnel-proxy-"));
  [serverCa, clientCa] = await Promise.all([
    createAuthority({ commonName: "server-ca" }),
    createAuthority({ commonName: "client-ca" }),
  ]);
  const serving = await issueCertificate(serverCa, {
    subject: { commonName: "kube-apiserver" },
    sans: { dns: ["localhost"], ips: ["127.0.0.1"] },
    usages: ["server"],
  });
  apiserverCert = await issueCertificate(clientCa, {
    subject: { commonName: "system:apiserver", organizations: ["system:masters"] },
    usages: ["client"],
  });
  const config = parseConfig(tunnelProxyConfig, {
    listen: { host: "127.0.0.1", port: 0 },
    serving,
    serverCa,
    clientCa,
    kubeletClient: apiserverCert,
    serverPassword: "server-pw",
    agentPassword: "agent-pw",
    advertiseAddress: "127.0.0.1",
    advertisePort: 6443,
  });
  const api = createApiClient(createMemoryApi());
  proxy = createTunnelProxy(config, {
    api,
    upstream,
    apiReady: () => true,
    clock: systemClock,
    log: silentLogger,
    metrics: createNullMetrics(),
  });
  await proxy.start(signal);
  serverUrl = `https://127.0.0.1:${proxy.address()?.port}`;
});
after(async () => {
  await proxy.stop(signal);
  await rm(folder, { recursive: true });
});

const joinAs = (
  nodeName: string,
  token: string | undefined,
  passwordFile = "password",
): Promise<JoinedCluster> =>
  joinCluster({
    serverUrl,
    token,
    nodeName,
    nodeIps: ["10.0.0.5"],
    agentDir: join(folder, nodeName),
    passwordFile: join(folder, passwordFile),
    clock: systemClock,
    log: silentLogger,
    signal,
  });

test("a node joins with the agent password, gets its certificates and finds the cluster's settings", async () => {
  const joined = await joinAs("node-a", "agent-pw");
  assert.equal(joined.settings.clusterCidr, "10.42.0.0/16");
  assert.equal(joined.settings.clusterDns, "10.43.0.10");
  assert.equal((await stat(join(folder, "node-a/client-kubelet.key"))).mode & 0o777, 0o600);
  const again = await joinAs("node-a", "agent-pw");
  assert.equal(again.clientKubelet.certPem, joined.clientKubelet.certPem);
});

test("what is wrong with a join is said, and does not wait for ever", async () => {
  const code = (expected: string, text: RegExp) => (error: unknown) =>
    error instanceof JoinError && error.code === expected && text.test(error.message);
  await assert.rejects(joinAs("node-b", undefined), code("token", /--token is required/));
  await assert.rejects(
    joinAs("node-b", "wrong"),
    code("unauthorized", /does not accept the token/),
  );
  await assert.rejects(
    joinAs("node-b", `K10${"0".repeat(64)}::node:agent-pw`),
    code("untrusted", /CA hash does not match/),
  );
  await writeFile(join(folder, "other-password"), "another machine\n");
  await joinAs("node-c", "agent-pw");
  await assert.rejects(
    joinAs("node-c", "agent-pw", "other-password"),
    code("passwordRejected", /Node password rejected, duplicate hostname/),
  );
});

test("the kubelet API of a node is reached through its tunnel only, by TLS with the API server's certificate", async () => {
  const kubelet = createServer((incoming, response) => response.end(`kubelet ${incoming.url}`));
  const joined = await joinAs("node-d", "agent-pw");
  const gate = createKubeletGate({
    serving: joined.servingKubelet,
    clientCaPem: joined.clientCaPem,
    accept: (stream) => void kubelet.emit("connection", stream),
    dial: async () => assert.fail("nothing else is dialed"),
    isLocalPod: () => false,
    log: silentLogger,
  });
  const client = tunnelOf(joined, gate);
  await client.start(signal);
  assert.deepEqual(client.health(), { status: "ok" });

  assert.match(
    await httpOver(await proxy.dialer.dialKubelet("node-d"), "/healthz"),
    /kubelet \/healthz/,
  );
  // The same through CONNECT, as an API server in another process does it.
  const remote = createConnectDialer({
    proxyUrl: serverUrl,
    tls: { caPem: serverCa.certPem, ...apiserverCert },
  });
  assert.match(await httpOver(await remote.dialKubelet("node-d"), "/pods"), /kubelet \/pods/);
  await assert.rejects(remote.dialKubelet("node-x"), /failed to find Session for client node-x/);
  await assert.rejects(
    proxy.dialer.dialKubelet("node-x"),
    /failed to find Session for client node-x/,
  );
  const asNode = createConnectDialer({
    proxyUrl: serverUrl,
    tls: { caPem: serverCa.certPem, ...joined.clientKubelet },
  });
  await assert.rejects(asNode.dialKubelet("node-d"), /CONNECT is for the API server/);
  await client.stop(signal);
});

test("a node in this process is handed its streams directly", async () => {
  const kubelet = createServer((incoming, response) => response.end(`local ${incoming.url}`));
  const remove = proxy.addLocalNode("here", (stream) => void kubelet.emit("connection", stream));
  assert.match(
    await httpOver(await proxy.dialer.dialKubelet("here"), "/metrics"),
    /local \/metrics/,
  );
  remove();
});

test("what is not the supervisor's goes upstream; a supervisor path without credentials does not", async () => {
  assert.deepEqual(await get("/api/v1/nodes"), { status: 200, body: "upstream /api/v1/nodes" });
  assert.equal((await get("/ping")).body, "pong");
  const refused = await get("/v1-k3s/config");
  assert.equal(refused.status, 401);
  assert.equal((JSON.parse(refused.body) as { reason: string }).reason, "Unauthorized");
});

test("node passwords are kept as scrypt hashes", async () => {
  const stored = await hashPassword("pw");
  assert.match(stored, /^\$1:[0-9a-f]{16}:15:8:1:/);
  assert.equal(await matches("pw", stored), true);
  assert.equal(await matches("other", stored), false);
  assert.equal(await matches("pw", "garbage"), false);
});

function tunnelOf(
  joined: JoinedCluster,
  connect: (protocol: string, address: string) => Promise<Duplex | undefined>,
): Service {
  return createTunnelClient({
    serverUrl,
    credentials: async () => ({ caPem: joined.serverCaPem, ...joined.clientKubelet }),
    connect,
    clock: systemClock,
    log: silentLogger,
  });
}

async function httpOver(stream: Duplex, path: string): Promise<string> {
  stream.write(`GET ${path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n`);
  let text = "";
  for await (const chunk of stream) text += String(chunk);
  return text;
}

async function get(path: string): Promise<{ status: number; body: string }> {
  const agent = new Agent({ ca: serverCa.certPem });
  const outgoing = request(new URL(path, serverUrl), { agent }).end();
  const [response] = (await once(outgoing, "response")) as [IncomingMessage];
  let body = "";
  for await (const chunk of response) body += String(chunk);
  agent.destroy();
  return { status: response.statusCode ?? 0, body };
}

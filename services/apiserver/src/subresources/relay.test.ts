import assert from "node:assert/strict";
import { once } from "node:events";
import {
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type RequestListener,
  type Server,
} from "node:http";
import { connect, type AddressInfo, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { test, type TestContext } from "node:test";
import { statusOf, type KubeObject, type UserInfo } from "@wherry/machinery";
import { NodeUnreachableError, type NodeDialer } from "@wherry/net";
import type { ResourceDefinition } from "@wherry/schema";
import { createObjectStoreFake } from "../auth/object-store-fake.ts";
import { resourceIds } from "../auth/resource-ids.ts";
import type { Authorizer } from "../chain.ts";
import type { Exchange } from "../exchange.ts";
import { createHttpExchange, createUpgradeExchange } from "../http-exchange.ts";
import { parseRequestInfo, pathBehindSubresource } from "../request-info.ts";
import { createOpenConnections } from "./open-connections.ts";
import { createPodLogHandler } from "./pod-log.ts";
import { createPodStreamHandlers } from "./pod-streams.ts";
import { createProxyHandlers } from "./proxy.ts";

interface Kubelet {
  handle: RequestListener;
  upgrade: (request: IncomingMessage, socket: Duplex, head: Buffer) => void;
  readonly seen: IncomingMessage[];
}

const user: UserInfo = { name: "admin", groups: ["system:masters"] };
const allow: Authorizer = { authorize: () => ({ decision: "allow", reason: "" }) };

async function listen(context: TestContext, server: Server): Promise<number> {
  const sockets = new Set<Duplex>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    socket.on("error", () => {});
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  context.after(async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, "close");
  });
  return (server.address() as AddressInfo).port;
}

/** An API server of these handlers only, in front of a kubelet that a test plays. */
async function setUp(context: TestContext, authorizer: Authorizer = allow) {
  const seen: IncomingMessage[] = [];
  const kubelet: Kubelet = {
    seen,
    handle: (_request, response) => response.end(),
    upgrade: (_request, socket) => socket.end(),
  };
  const node = createServer((request, response) => {
    seen.push(request);
    kubelet.handle(request, response);
  });
  node.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    seen.push(request);
    socket.on("error", () => {});
    kubelet.upgrade(request, socket, head);
  });
  const nodePort = await listen(context, node);
  const dialed: string[] = [];
  const dial = async (): Promise<Duplex> => {
    const socket = connect(nodePort, "127.0.0.1");
    await once(socket, "connect");
    return socket;
  };
  const dialer: NodeDialer = {
    dialKubelet: (name) =>
      name === "gone"
        ? Promise.reject(new NodeUnreachableError(name, "no tunnel to node gone"))
        : dial(),
    dialFromNode: (name, host, port) => {
      dialed.push(`${name} ${host}:${port}`);
      return dial();
    },
  };
  const store = createObjectStoreFake();
  const shutdown = new AbortController();
  const open = createOpenConnections(shutdown.signal);
  const handlers = [
    createPodLogHandler(store, dialer, open),
    ...createPodStreamHandlers({ store, dialer, authorizer, open }),
    ...createProxyHandlers({ store, dialer, random: () => 0, open }),
  ];
  const run = async (exchange: Exchange): Promise<void> => {
    const info = parseRequestInfo(exchange.method, exchange.url);
    const handler = handlers.find(
      (one) => one.resource === info.resource && one.subresource === info.subresource,
    )!;
    const definition = { group: "", resource: info.resource } as ResourceDefinition;
    const { namespace, name } = info;
    try {
      await handler.connect({
        definition,
        info,
        namespace,
        name,
        user,
        dryRun: false,
        signal: exchange.signal,
        warn: () => {},
        exchange,
        path: pathBehindSubresource(info),
      });
    } catch (error) {
      const status = statusOf(error);
      if (!exchange.answered)
        exchange.send(status.code ?? 500, { "content-type": "application/json" }, [
          Buffer.from(JSON.stringify(status)),
        ]);
    }
  };
  const front = createServer(
    (request, response) => void run(createHttpExchange(request, response)),
  );
  front.on(
    "upgrade",
    (request: IncomingMessage, socket: Duplex, head: Buffer) =>
      void run(createUpgradeExchange(request, socket, head)),
  );
  const port = await listen(context, front);
  store.put(resourceIds.pods, {
    metadata: { namespace: "n", name: "p" },
    spec: { nodeName: "n1", containers: [{ name: "c", ports: [{ containerPort: 8080 }] }] },
    status: { podIP: "10.42.0.9" },
  } as KubeObject);
  return { kubelet, store, port, dialed, shutdown, open };
}

async function ask(
  port: number,
  path: string,
  options: {
    readonly method?: string;
    readonly headers?: Record<string, string>;
    readonly body?: string;
  } = {},
) {
  const request = httpRequest({
    port,
    host: "127.0.0.1",
    path,
    agent: false,
    method: options.method ?? "GET",
    headers: options.headers ?? {},
  });
  request.end(options.body);
  const [response] = (await once(request, "response")) as [IncomingMessage];
  let text = "";
  for await (const chunk of response) text += String(chunk);
  return { status: response.statusCode, headers: response.headers, text };
}

/** Opens an upgrade and answers what comes back first, up to the end of its head, and the socket. */
async function upgrade(port: number, path: string, headers: readonly string[], early = "") {
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => {});
  await once(socket, "connect");
  socket.write(
    `POST ${path} HTTP/1.1\r\nHost: api\r\nConnection: Upgrade\r\n${headers.map((line) => `${line}\r\n`).join("")}\r\n${early}`,
  );
  let text = "";
  while (!text.includes("\r\n\r\n")) {
    const [chunk] = (await once(socket, "data")) as [Buffer];
    text += chunk.toString("latin1");
  }
  const end = text.indexOf("\r\n\r\n") + 4;
  return { socket, head: text.slice(0, end), rest: text.slice(end) };
}

test("logs come through with the kubelet's parameters and in pieces", async (context) => {
  const { kubelet, port } = await setUp(context);
  let finish = (): void => {};
  kubelet.handle = (_request, response) => {
    response.write("one\n");
    finish = () => response.end("two\n");
  };
  const request = httpRequest({
    port,
    host: "127.0.0.1",
    path: "/api/v1/namespaces/n/pods/p/log?follow=true&tailLines=5&container=c&pretty=1",
    agent: false,
  });
  request.end();
  const [response] = (await once(request, "response")) as [IncomingMessage];
  const [first] = (await once(response, "data")) as [Buffer];
  assert.equal(first.toString(), "one\n");
  assert.deepEqual([response.statusCode, response.headers["content-type"]], [200, "text/plain"]);
  assert.equal(kubelet.seen[0]?.url, "/containerLogs/n/p/c?follow=true&tailLines=5");
  finish();
  const [second] = (await once(response, "data")) as [Buffer];
  assert.equal(second.toString(), "two\n");
});

test("a follower that leaves ends the kubelet's request", async (context) => {
  const { kubelet, port } = await setUp(context);
  const closed = new Promise<void>((resolve) => {
    kubelet.handle = (_request, response) => {
      response.write("one\n");
      response.once("close", () => resolve());
    };
  });
  const request = httpRequest({
    port,
    host: "127.0.0.1",
    path: "/api/v1/namespaces/n/pods/p/log?follow=true",
    agent: false,
  });
  request.on("error", () => {});
  request.end();
  const [response] = (await once(request, "response")) as [IncomingMessage];
  await once(response, "data");
  response.destroy();
  await closed;
});

// The texts are those recorded as verbs/log-*.
test("what is wrong with a log request is told in upstream's words", async (context) => {
  const { kubelet, store, port } = await setUp(context);
  const message = async (path: string): Promise<readonly unknown[]> => {
    const { status, text } = await ask(port, `/api/v1/namespaces/n/pods/${path}`);
    return [status, text === "" ? "" : JSON.parse(text).message];
  };
  assert.deepEqual(await message("nope/log"), [404, 'pods "nope" not found']);
  assert.deepEqual(await message("p/log?container=zz"), [
    400,
    "container zz is not valid for pod p",
  ]);
  store.put(resourceIds.pods, {
    metadata: { namespace: "n", name: "two" },
    spec: { containers: [{ name: "c" }, { name: "d" }], initContainers: [{ name: "i" }] },
  } as KubeObject);
  assert.deepEqual(await message("two/log"), [
    400,
    "a container name must be specified for pod two, choose one of: [c d] or one of the init containers: [i]",
  ]);
  assert.deepEqual(await message("two/log?container=c"), [204, ""]);
  assert.match(
    String((await message("p/log?tailLines=-1"))[1]),
    /PodLogOptions "p" is invalid: tailLines: Invalid value: -1: must be greater than or equal to 0/,
  );
  kubelet.handle = (_request, response) => {
    response.statusCode = 400;
    response.end('container "c" in pod "p" is waiting to start: ContainerCreating');
  };
  assert.deepEqual(await message("p/log"), [
    400,
    'container "c" in pod "p" is waiting to start: ContainerCreating',
  ]);
  store.put(resourceIds.pods, {
    metadata: { namespace: "n", name: "far" },
    spec: { nodeName: "gone", containers: [{ name: "c" }] },
  } as KubeObject);
  assert.deepEqual(await message("far/log"), [
    500,
    "error dialing backend: no tunnel to node gone",
  ]);
});

test("an upgrade is handed on with its own header lines and without the caller's identity", async (context) => {
  const { kubelet, port } = await setUp(context);
  kubelet.upgrade = (_request, socket, head) => {
    socket.write(
      "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\nhello ",
    );
    socket.write(head);
    socket.pipe(socket);
  };
  const { socket, head, rest } = await upgrade(
    port,
    "/api/v1/namespaces/n/pods/p/exec?command=sh&command=-c&stdin=true&stdout=true&tty=true",
    [
      "Upgrade: SPDY/3.1",
      "X-Stream-Protocol-Version: v4.channel.k8s.io",
      "X-Stream-Protocol-Version: channel.k8s.io",
      "Authorization: Bearer secret",
      "Impersonate-User: x",
    ],
    "early ",
  );
  assert.match(head, /^HTTP\/1\.1 101 Switching Protocols\r\n/);
  assert.match(head, /X-Stream-Protocol-Version: v4\.channel\.k8s\.io/);
  let text = rest;
  socket.write("late");
  while (!text.endsWith("late")) {
    const [chunk] = (await once(socket, "data")) as [Buffer];
    text += chunk.toString();
  }
  assert.equal(text, "hello early late");
  const [seen] = kubelet.seen;
  assert.equal(seen?.url, "/exec/n/p/c?input=1&output=1&tty=1&command=sh&command=-c");
  assert.deepEqual(seen?.headersDistinct["x-stream-protocol-version"], [
    "v4.channel.k8s.io",
    "channel.k8s.io",
  ]);
  assert.deepEqual(
    [seen?.headers.authorization, seen?.headers["impersonate-user"]],
    [undefined, undefined],
  );
  socket.destroy();
});

test("a large stream arrives whole while the reader is slow, and its end ends the other side", async (context) => {
  const { kubelet, port } = await setUp(context);
  const size = 8 * 1024 * 1024;
  kubelet.upgrade = (_request, socket) => {
    socket.write(
      "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n",
    );
    socket.end(Buffer.alloc(size, "x"));
  };
  const { socket, rest } = await upgrade(port, "/api/v1/namespaces/n/pods/p/attach?stdout=1", [
    "Upgrade: SPDY/3.1",
  ]);
  let received = rest.length;
  for await (const chunk of socket) received += (chunk as Buffer).length;
  assert.equal(received, size);
});

test("the kubelet learns that the caller has gone", async (context) => {
  const { kubelet, port } = await setUp(context);
  const closed = new Promise<void>((resolve) => {
    kubelet.upgrade = (_request, socket) => {
      socket.write(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n",
      );
      socket.once("end", () => resolve());
      socket.resume();
    };
  });
  const { socket } = await upgrade(port, "/api/v1/namespaces/n/pods/p/portforward", [
    "Upgrade: SPDY/3.1",
  ]);
  socket.resetAndDestroy();
  await closed;
});

test("the server's shutdown ends streams and followed logs", async (context) => {
  const { kubelet, port, shutdown, open } = await setUp(context);
  kubelet.handle = (_request, response) => response.write("one\n");
  kubelet.upgrade = (_request, socket) => {
    socket.write(
      "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n",
    );
    socket.resume();
  };
  const { socket } = await upgrade(port, "/api/v1/namespaces/n/pods/p/exec", ["Upgrade: SPDY/3.1"]);
  const request = httpRequest({
    port,
    host: "127.0.0.1",
    path: "/api/v1/namespaces/n/pods/p/log?follow=true",
    agent: false,
  });
  request.on("error", () => {});
  request.end();
  const [response] = (await once(request, "response")) as [IncomingMessage];
  await once(response, "data");
  assert.equal(open.size, 2);
  const closed = new Promise((resolve) => response.once("close", resolve));
  const ended = Promise.all([once(socket, "close"), closed]);
  socket.resume();
  response.on("error", () => {});
  response.resume();
  shutdown.abort();
  await ended;
  assert.equal(open.size, 0);
});

test("a refused upgrade becomes a Status on the caller's connection", async (context) => {
  const { kubelet, store, port } = await setUp(context);
  kubelet.handle = (_request, response) => {
    response.statusCode = 400;
    response.end("unable to upgrade: container not running");
  };
  kubelet.upgrade = (_request, socket) =>
    socket.end("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 4\r\n\r\noops");
  const refused = await upgrade(port, "/api/v1/namespaces/n/pods/p/exec?command=sh", [
    "Upgrade: SPDY/3.1",
  ]);
  assert.match(refused.head, /^HTTP\/1\.1 500 /);
  refused.socket.destroy();
  store.put(resourceIds.pods, {
    metadata: { namespace: "n", name: "new" },
    spec: { containers: [{ name: "c" }] },
  } as KubeObject);
  // As recorded: verbs/exec-nocommand, verbs/portforward-unscheduled.
  for (const path of ["new/exec", "new/portforward"]) {
    const { status, text } = await ask(port, `/api/v1/namespaces/n/pods/${path}`, {
      method: "POST",
    });
    assert.deepEqual(
      [status, JSON.parse(text).message],
      [400, "pod new does not have a host assigned"],
    );
  }
  const plain = await ask(port, "/api/v1/namespaces/n/pods/p/exec?command=sh", { method: "POST" });
  assert.deepEqual(
    [plain.status, JSON.parse(plain.text).message],
    [400, "Upgrade request required"],
  );
});

test("a WebSocket, which is a GET, needs permission to create", async (context) => {
  const { port } = await setUp(context, {
    authorize: ({ verb }) => ({ decision: verb === "create" ? "noOpinion" : "allow", reason: "" }),
  });
  const { status, text } = await ask(port, "/api/v1/namespaces/n/pods/p/exec?command=sh");
  assert.deepEqual(
    [status, JSON.parse(text).message],
    [
      403,
      'pods "p" is forbidden: User "admin" cannot create resource "pods/exec" in API group "" in the namespace "n"',
    ],
  );
});

test("a pod is reached from its node, with method, path, query and body", async (context) => {
  const { kubelet, port, dialed } = await setUp(context);
  kubelet.handle = (request, response) => {
    response.setHeader("x-method", request.method ?? "");
    response.statusCode = 201;
    request.pipe(response);
  };
  const answer = await ask(port, "/api/v1/namespaces/n/pods/p:9000/proxy/a/b?x=1", {
    method: "POST",
    headers: { authorization: "Bearer t" },
    body: "hello",
  });
  assert.deepEqual(
    [answer.status, answer.headers["x-method"], answer.text],
    [201, "POST", "hello"],
  );
  assert.deepEqual(dialed, ["n1 10.42.0.9:9000"]);
  assert.deepEqual(
    [kubelet.seen[0]?.url, kubelet.seen[0]?.headers.host, kubelet.seen[0]?.headers.authorization],
    ["/a/b?x=1", "10.42.0.9:9000", undefined],
  );
  await ask(port, "/api/v1/namespaces/n/pods/p/proxy/");
  assert.equal(dialed[1], "n1 10.42.0.9:8080");
});

test("a service is reached at a ready endpoint of the named port", async (context) => {
  const { store, port, dialed } = await setUp(context);
  store.put(resourceIds.services, {
    metadata: { namespace: "n", name: "s" },
    spec: { ports: [{ name: "web", port: 80 }] },
  } as KubeObject);
  const none = await ask(port, "/api/v1/namespaces/n/services/s:web/proxy/");
  assert.deepEqual(
    [none.status, JSON.parse(none.text).message],
    [503, 'no endpoints available for service "s"'],
  );
  store.put(resourceIds.endpointSlices, {
    metadata: { namespace: "n", name: "s-1", labels: { "kubernetes.io/service-name": "s" } },
    ports: [{ name: "web", port: 8080 }],
    endpoints: [
      { addresses: ["10.42.0.1"], nodeName: "n1", conditions: { ready: false } },
      { addresses: ["10.42.0.2"], nodeName: "n2", conditions: { ready: true } },
    ],
  } as KubeObject);
  assert.equal((await ask(port, "/api/v1/namespaces/n/services/http:s:80/proxy/x")).status, 200);
  assert.deepEqual(dialed, ["n2 10.42.0.2:8080"]);
  const wrong = await ask(port, "/api/v1/namespaces/n/services/s:other/proxy/");
  assert.match(JSON.parse(wrong.text).message, /no service port "other" found for service "s"/);
});

test("a node's proxy is its kubelet, and a path without a slash is redirected", async (context) => {
  const { kubelet, store, port } = await setUp(context);
  store.put(resourceIds.nodes, { metadata: { name: "n1" } });
  assert.equal((await ask(port, "/api/v1/nodes/n1/proxy/stats/summary?only=1")).status, 200);
  assert.equal(kubelet.seen[0]?.url, "/stats/summary?only=1");
  const redirect = await ask(port, "/api/v1/nodes/n1:10250/proxy?a=b");
  assert.deepEqual(
    [redirect.status, redirect.headers.location],
    [301, "/api/v1/nodes/n1:10250/proxy/?a=b"],
  );
});

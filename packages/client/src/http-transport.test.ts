import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import {
  createServer as createHttpServer,
  type IncomingMessage,
  type ServerResponse,
} from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, test, type TestContext } from "node:test";
import type { TLSSocket } from "node:tls";
import { createAuthority, issueCertificate } from "@wherry/pki";
import { createApiClient } from "./create-api-client.ts";
import {
  createHttpTransport,
  type HttpTransport,
  type HttpTransportOptions,
} from "./http-transport.ts";
import { createMemoryApi } from "./testing/memory-api.ts";
import { runTransportContract } from "./testing/transport-contract.ts";
import { TransportError } from "./transport-error.ts";
import type { ApiRequest, ApiResponse, ApiTransport } from "./transport.ts";

/** Serves a transport over HTTP, which is what an API server does. */
function serve(api: ApiTransport) {
  return async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const abort = new AbortController();
    response.once("close", () => abort.abort(new Error("the client has gone")));
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    try {
      const answer = await api.roundTrip({
        method: request.method as ApiRequest["method"],
        path: request.url ?? "/",
        headers: Object.fromEntries(
          Object.entries(request.headers).map(([name, value]) => [name, String(value)]),
        ),
        ...(chunks.length === 0 ? {} : { body: Buffer.concat(chunks) }),
        signal: abort.signal,
      });
      response.writeHead(answer.status, answer.headers);
      response.flushHeaders();
      for await (const chunk of answer.body) response.write(chunk);
      response.end();
    } catch {
      response.destroy();
    }
  };
}

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

/** A server on a free port; its teardown proves that no connection is left open by the client. */
async function listen(context: TestContext, handler: Handler): Promise<string> {
  const server = createHttpServer(handler);
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  context.after(async () => {
    await new Promise((resolve) => {
      server.close(resolve);
    });
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function connect(context: TestContext, options: HttpTransportOptions): HttpTransport {
  const transport = createHttpTransport(options);
  context.after(() => transport.close());
  return transport;
}

async function textOf(response: ApiResponse): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of response.body) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

runTransportContract("memory API over HTTP", async () => {
  const handler = serve(createMemoryApi());
  const server = createHttpServer((request, response) => void handler(request, response));
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const transport = createHttpTransport({
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
  });
  return {
    transport,
    async close() {
      transport.close();
      await new Promise((resolve) => {
        server.close(resolve);
      });
    },
  };
});

describe("HTTP transport", () => {
  test("sends method, path, headers and body below the URL's own path", async (context) => {
    const url = await listen(context, (request, response) => {
      request.setEncoding("utf8");
      let body = "";
      request.on("data", (chunk: string) => (body += chunk));
      request.on("end", () => {
        response.setHeader("x-two", ["a", "b"]);
        response.end(
          JSON.stringify({
            method: request.method,
            url: request.url,
            agent: request.headers["user-agent"],
            body,
          }),
        );
      });
    });
    const transport = connect(context, { url: `${url}/clusters/one/`, userAgent: "wherry/1" });
    const response = await transport.roundTrip({
      method: "POST",
      path: "/api/v1/pods?x=1",
      body: Buffer.from("hello"),
    });
    assert.equal(response.status, 200);
    assert.equal(response.headers["x-two"], "a, b");
    assert.deepEqual(JSON.parse(await textOf(response)), {
      method: "POST",
      url: "/clusters/one/api/v1/pods?x=1",
      agent: "wherry/1",
      body: "hello",
    });
  });

  test("keeps connections alive", async (context) => {
    const ports = new Set<number | undefined>();
    const url = await listen(context, (request, response) => {
      ports.add(request.socket.remotePort);
      response.end("{}");
    });
    const transport = connect(context, { url });
    for (let index = 0; index < 5; index += 1)
      await textOf(await transport.roundTrip({ method: "GET", path: "/" }));
    assert.equal(ports.size, 1);
  });

  test("makes a read again when the kept-alive connection turns out to be closed", async (context) => {
    const sockets: Socket[] = [];
    let cutNext = false;
    const url = await listen(context, (request, response) => {
      if (cutNext) {
        cutNext = false;
        request.socket.resetAndDestroy();
        return;
      }
      sockets.push(request.socket);
      response.end("{}");
    });
    const transport = connect(context, { url });
    await textOf(await transport.roundTrip({ method: "GET", path: "/" }));
    cutNext = true;
    assert.equal(await textOf(await transport.roundTrip({ method: "GET", path: "/" })), "{}");
    cutNext = true;
    await assert.rejects(
      transport.roundTrip({ method: "POST", path: "/", body: Buffer.from("x") }),
      { code: "unreachable" },
    );
  });

  test("reads the token file again when it has changed", async (context) => {
    const directory = await mkdtemp(path.join(tmpdir(), "wherry-client-"));
    context.after(() => rm(directory, { recursive: true }));
    const file = path.join(directory, "token");
    const url = await listen(context, (request, response) =>
      response.end(request.headers.authorization),
    );
    const transport = connect(context, { url, token: { file } });
    const authorization = async (): Promise<string> =>
      textOf(await transport.roundTrip({ method: "GET", path: "/" }));
    await assert.rejects(authorization(), {
      name: "TransportError",
      code: "badCredentials",
      message: /^token .*token cannot be read/,
    });
    await writeFile(file, "one\n");
    assert.equal(await authorization(), "Bearer one");
    await writeFile(file, "second\n");
    assert.equal(await authorization(), "Bearer second");
  });

  test("streams the body as it comes and closes the connection when the reader leaves", async (context) => {
    let closed = (): void => {};
    const gone = new Promise<void>((resolve) => {
      closed = resolve;
    });
    const url = await listen(context, (_request, response) => {
      response.on("close", closed);
      response.write("first");
    });
    const transport = connect(context, { url });
    const response = await transport.roundTrip({ method: "GET", path: "/" });
    for await (const chunk of response.body) {
      assert.equal(Buffer.from(chunk).toString(), "first");
      break;
    }
    await gone;
  });

  test("an abort ends a request before, during and after the headers", async (context) => {
    const url = await listen(context, (request, response) => {
      if (request.url === "/body") response.write("x");
    });
    const transport = connect(context, { url });
    const aborted = { name: "TransportError", code: "aborted" };
    await assert.rejects(
      transport.roundTrip({ method: "GET", path: "/", signal: AbortSignal.abort() }),
      aborted,
    );
    const waiting = new AbortController();
    const pending = transport.roundTrip({
      method: "GET",
      path: "/headers",
      signal: waiting.signal,
    });
    waiting.abort();
    await assert.rejects(pending, aborted);
    const reading = new AbortController();
    const response = await transport.roundTrip({
      method: "GET",
      path: "/body",
      signal: reading.signal,
    });
    const text = textOf(response);
    reading.abort();
    await assert.rejects(text, aborted);
  });

  test("says that nobody answers", async (context) => {
    const url = await listen(context, (_request, response) => response.end());
    const closed = createHttpServer();
    await new Promise<void>((resolve) => {
      closed.listen(0, "127.0.0.1", resolve);
    });
    const { port } = closed.address() as AddressInfo;
    await new Promise((resolve) => {
      closed.close(resolve);
    });
    const nobody = connect(context, { url: `http://127.0.0.1:${port}` });
    await assert.rejects(nobody.roundTrip({ method: "GET", path: "/" }), { code: "unreachable" });
    const slow = connect(context, { url: await listen(context, () => {}), headersTimeoutMs: 20 });
    await assert.rejects(slow.roundTrip({ method: "GET", path: "/" }), {
      code: "unreachable",
      message: /within 20 ms/,
    });
    await textOf(await connect(context, { url }).roundTrip({ method: "GET", path: "/" }));
  });

  test("reports a body that breaks off", async (context) => {
    const url = await listen(context, (_request, response) => {
      response.writeHead(200, { "content-length": "100" });
      response.write("half", () => response.destroy());
    });
    const response = await connect(context, { url }).roundTrip({ method: "GET", path: "/" });
    await assert.rejects(
      textOf(response),
      (error: unknown) => error instanceof TransportError && error.code === "interrupted",
    );
  });

  test("refuses options that make no sense", () => {
    assert.throws(() => createHttpTransport({ url: "ftp://x" }), /url: ftp:\/\/ is not supported/);
    assert.throws(
      () => createHttpTransport({ url: "https://x", cert: { value: "" } }),
      /cert and key: give both or none/,
    );
  });

  test("makes an error of an answer that is no Status", async (context) => {
    const url = await listen(context, (_request, response) => {
      response.statusCode = 502;
      response.end("bad gateway");
    });
    const client = createApiClient(connect(context, { url }));
    await assert.rejects(client.raw("GET", "/"), {
      name: "ApiError",
      code: 502,
      message: 'an error on the server ("bad gateway") has prevented the request from succeeding',
    });
  });
});

describe("HTTP transport with TLS", () => {
  test("checks the server, shows its certificate and takes up new ones from files", async (context) => {
    const directory = await mkdtemp(path.join(tmpdir(), "wherry-client-"));
    context.after(() => rm(directory, { recursive: true }));
    const authority = await createAuthority({ commonName: "test-ca" });
    const stranger = await createAuthority({ commonName: "another-ca" });
    const serverPair = await issueCertificate(authority, {
      subject: { commonName: "api" },
      sans: { ips: ["127.0.0.1"] },
      usages: ["server"],
    });
    const clientPair = async (commonName: string) =>
      issueCertificate(authority, { subject: { commonName }, usages: ["client"] });
    const server = createHttpsServer(
      {
        cert: serverPair.certPem,
        key: serverPair.keyPem,
        ca: authority.certPem,
        requestCert: true,
        rejectUnauthorized: false,
      },
      (request, response) => {
        const socket = request.socket as TLSSocket;
        response.end(
          JSON.stringify({
            user: socket.authorized ? socket.getPeerCertificate().subject.CN : "anonymous",
          }),
        );
      },
    );
    await new Promise<void>((resolve) => {
      server.listen(0, "127.0.0.1", resolve);
    });
    context.after(async () => {
      await new Promise((resolve) => {
        server.close(resolve);
      });
    });
    const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const user = async (transport: HttpTransport): Promise<string> =>
      (
        JSON.parse(await textOf(await transport.roundTrip({ method: "GET", path: "/" }))) as {
          user: string;
        }
      ).user;

    const ca = { value: authority.certPem };
    await assert.rejects(user(connect(context, { url, ca: { value: stranger.certPem } })), {
      code: "unreachable",
    });
    assert.equal(
      await user(
        connect(context, { url, ca: { value: stranger.certPem }, insecureSkipTlsVerify: true }),
      ),
      "anonymous",
    );
    assert.equal(await user(connect(context, { url, ca })), "anonymous");

    const certFile = path.join(directory, "client.crt");
    const keyFile = path.join(directory, "client.key");
    const write = async (commonName: string): Promise<void> => {
      const pair = await clientPair(commonName);
      await writeFile(certFile, pair.certPem);
      await writeFile(keyFile, pair.keyPem);
    };
    await write("first");
    const rotating = connect(context, {
      url,
      ca,
      cert: { file: certFile },
      key: { file: keyFile },
    });
    assert.equal(await user(rotating), "first");
    await write("second");
    assert.equal(await user(rotating), "second");
  });
});

/** What travels by HTTP: both protocols on one port, health, metrics, discovery, limits, and the answers for paths that do not exist. */
import { deepEqual, equal, match, ok } from "node:assert/strict";
import { connect as connectHttp2 } from "node:http2";
import { connect } from "node:net";
import { after, before, describe, it } from "node:test";
import { createAuthority, issueCertificate } from "@wherry/pki";
import { createMetrics } from "@wherry/service-kit";
import { adminToken, startFixture, type Fixture } from "./testing/apiserver-fixture.ts";

describe("the API server over HTTP", () => {
  let fixture: Fixture;
  let url: string;
  before(async () => {
    fixture = await startFixture({
      metrics: await createMetrics(),
      config: { listen: { host: "127.0.0.1", port: 0 }, readsInflightMax: 5 },
    });
    url = fixture.server.endpoint()!.url;
  });
  after(() => fixture.close());
  const call = (path: string, init: RequestInit = {}): Promise<Response> =>
    fetch(url + path, {
      ...init,
      headers: { authorization: `Bearer ${adminToken}`, ...(init.headers as object) },
    });

  it("tells health to anybody, verbosely and with exclusions, and single checks to those who may ask", async () => {
    equal(await (await fetch(`${url}/livez`)).text(), "ok");
    equal(await (await call("/readyz/etcd")).text(), "ok");
    match(
      await (await fetch(`${url}/readyz?verbose&exclude=etcd`)).text(),
      /^\[\+\]ping ok\n\[\+\]etcd excluded: ok\n[\s\S]*readyz check passed\n$/,
    );
    match(
      await (await fetch(`${url}/readyz?verbose&exclude=nothing`)).text(),
      /warn: some health checks cannot be excluded: no matches for "nothing"/,
    );
  });

  it("answers version, paths and discovery", async () => {
    equal(((await (await fetch(`${url}/version`)).json()) as { minor: string }).minor, "36");
    const { paths } = (await (await call("/")).json()) as { paths: string[] };
    for (const path of [
      "/api",
      "/api/v1",
      "/apis/apps/v1",
      "/livez",
      "/livez/ping",
      "/metrics",
      "/openapi/v2",
      "/version",
    ])
      ok(paths.includes(path), path);
    const aggregated = await call("/apis", {
      headers: {
        accept:
          "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json",
      },
    });
    equal(
      aggregated.headers.get("content-type"),
      "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
    );
    equal(((await aggregated.json()) as { kind: string }).kind, "APIGroupDiscoveryList");
    const again = await call("/apis", {
      headers: {
        accept: "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
        "if-none-match": aggregated.headers.get("etag")!,
      },
    });
    equal(again.status, 304);
    equal(((await (await call("/api/v1")).json()) as { kind: string }).kind, "APIResourceList");
  });

  it("answers OpenAPI v2 as JSON and protobuf, and v3 per group version", async () => {
    const json = await call("/openapi/v2", { headers: { accept: "application/json" } });
    equal(((await json.json()) as { swagger: string }).swagger, "2.0");
    const protobuf = await call("/openapi/v2", {
      headers: { accept: "application/com.github.proto-openapi.spec.v2@v1.0+protobuf" },
    });
    equal(
      protobuf.headers.get("content-type"),
      "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
    );
    ok((await protobuf.arrayBuffer()).byteLength > 100_000);
    const index = (await (await call("/openapi/v3")).json()) as {
      paths: Record<string, { serverRelativeURL: string }>;
    };
    const apps = await call(index.paths["apis/apps/v1"]!.serverRelativeURL);
    match(apps.headers.get("cache-control")!, /immutable/);
    match(((await apps.json()) as { openapi: string }).openapi, /^3\./);
  });

  it("counts requests under kube-apiserver's names", async () => {
    await call("/api/v1/pods");
    const text = await (await call("/metrics")).text();
    match(
      text,
      /apiserver_request_total\{[^}]*verb="LIST"[^}]*resource="pods"[^}]*code="200"\} [1-9]/,
    );
    match(text, /apiserver_request_duration_seconds_bucket\{/);
    match(text, /apiserver_current_inflight_requests\{request_kind="readOnly"\}/);
  });

  it("answers unknown paths as text, unknown resources as Status, and wrong methods with 405", async () => {
    const text = await call("/nope");
    equal(text.status, 404);
    equal(await text.text(), "404 page not found\n");
    equal((await call("/apis/nope.example/v1/things")).status, 404);
    const resource = await call("/api/v1/nope");
    equal(((await resource.json()) as { reason: string }).reason, "NotFound");
    equal((await call("/api/v1/pods", { method: "POST", body: "{}" })).status, 405);
    equal((await call("/api/v1/%zz")).status < 500, true);
  });

  it("refuses a request beyond its in-flight bound with 429, but not a system:masters one", async () => {
    const codes = await Promise.all(
      Array.from({ length: 40 }, async () => (await fetch(`${url}/version`)).status),
    );
    const limited = codes.filter((code) => code === 429).length;
    equal(codes.filter((code) => code === 200).length + limited, 40);
    const masters = await Promise.all(
      Array.from({ length: 40 }, async () => (await call("/version")).status),
    );
    deepEqual(new Set(masters), new Set([200]));
  });

  it("answers 413 before it has read a body that is too long", async () => {
    const socket = connect(Number(new URL(url).port), "127.0.0.1");
    socket.write(
      `POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${adminToken}\r\nContent-Length: 99999999\r\nContent-Type: application/json\r\n\r\n{`,
    );
    const text = await new Promise<string>((resolve) =>
      socket.once("data", (chunk: Buffer) => resolve(chunk.toString())),
    );
    match(text, /^HTTP\/1\.1 413 /);
    match(text, /connection: close/i);
    socket.destroy();
  });

  it("refuses an upgrade that is not allowed with a plain answer", async () => {
    const socket = connect(Number(new URL(url).port), "127.0.0.1");
    socket.write(
      "GET /api/v1/namespaces/default/pods/x/exec?command=sh HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    );
    const text = await new Promise<string>((resolve) =>
      socket.once("data", (chunk: Buffer) => resolve(chunk.toString())),
    );
    match(text, /^HTTP\/1\.1 403 /);
    socket.destroy();
  });
});

describe("the API server over TLS", () => {
  it("speaks HTTP/2 and knows client certificates, watches included", async () => {
    const authority = await createAuthority({ commonName: "ca" });
    const serving = await issueCertificate(authority, {
      subject: { commonName: "apiserver" },
      sans: { ips: ["127.0.0.1"] },
      usages: ["server"],
    });
    const client = await issueCertificate(authority, {
      subject: { commonName: "admin", organizations: ["system:masters"] },
      usages: ["client"],
    });
    const fixture = await startFixture({
      config: {
        clientCaPem: authority.certPem,
        listen: { host: "127.0.0.1", port: 0, certPem: serving.certPem, keyPem: serving.keyPem },
      },
    });
    const session = connectHttp2(fixture.server.endpoint()!.url, {
      ca: authority.certPem,
      cert: client.certPem,
      key: client.keyPem,
    });
    const watch = session.request({ ":path": "/api/v1/namespaces/default/configmaps?watch=1" });
    const headers = await new Promise<Record<string, unknown>>((resolve) =>
      watch.once("response", resolve),
    );
    equal(headers[":status"], 200);
    const create = session.request({
      ":path": "/api/v1/namespaces/default/configmaps",
      ":method": "POST",
      "content-type": "application/json",
    });
    create.end(JSON.stringify({ metadata: { name: "h2" } }));
    create.resume();
    let text = "";
    for await (const chunk of watch) {
      text += String(chunk);
      if (text.includes('"name":"h2"')) break;
    }
    match(text, /"type":"ADDED"/);
    session.destroy();
    await fixture.close();
  });
});

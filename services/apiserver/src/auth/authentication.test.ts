import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as connectHttp2, createSecureServer } from "node:http2";
import { request as httpsRequest } from "node:https";
import type { AddressInfo } from "node:net";
import { after, before, test } from "node:test";
import type { UserInfo } from "@wherry/machinery";
import { createAuthority, issueCertificate, type KeyPair } from "@wherry/pki";
import { createManualClock } from "@wherry/service-kit/testing";
import { createAuthentication, type Authentication } from "./authentication.ts";
import { createObjectStoreFake } from "./object-store-fake.ts";
import { defaultRequestHeaders } from "./request-header-authenticator.ts";

const clock = createManualClock(Date.now());
const dayMs = 86_400_000;

interface World {
  readonly serverCa: KeyPair;
  readonly node: KeyPair;
  readonly proxy: KeyPair;
  readonly otherProxy: KeyPair;
  readonly stranger: KeyPair;
  readonly shortLived: KeyPair;
  readonly port: number;
  close(): Promise<void>;
}

let world: World;

before(async () => {
  const [serverCa, clientCa, frontCa, strangeCa] = await Promise.all(
    ["server", "client", "front", "strange"].map((commonName) => createAuthority({ commonName })),
  );
  const leaf = (
    ca: KeyPair,
    commonName: string,
    organizations: readonly string[] = [],
    validDays = 365,
  ): Promise<KeyPair> =>
    issueCertificate(ca, { subject: { commonName, organizations }, usages: ["client"], validDays });
  const serving = await issueCertificate(serverCa!, {
    subject: { commonName: "api" },
    sans: { dns: ["localhost"] },
    usages: ["server"],
  });
  const authentication: Authentication = createAuthentication({
    clock,
    store: createObjectStoreFake(),
    clientCa: clientCa!.certPem,
    requestHeader: {
      ...defaultRequestHeaders,
      requestHeaderCa: frontCa!.certPem,
      allowedNames: ["system:auth-proxy"],
    },
    staticTokens: [{ token: "secret", user: { name: "admin", groups: ["system:masters"] } }],
    apiAudiences: ["api"],
    bootstrapTokens: true,
    anonymous: true,
  });
  const server = createSecureServer(
    {
      key: serving.keyPem,
      cert: serving.certPem,
      allowHTTP1: true,
      requestCert: true,
      rejectUnauthorized: false,
    },
    (request, response) => {
      authentication.authenticate(request).then(
        (user) => response.end(JSON.stringify(user)),
        (error: { code?: number; message?: string }) => {
          response.statusCode = error.code ?? 500;
          response.end(JSON.stringify({ message: error.message }));
        },
      );
    },
  );
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  world = {
    serverCa: serverCa!,
    node: await leaf(clientCa!, "system:node:n1", ["system:nodes", "ops"]),
    proxy: await leaf(frontCa!, "system:auth-proxy"),
    otherProxy: await leaf(frontCa!, "somebody"),
    stranger: await leaf(strangeCa!, "admin", ["system:masters"]),
    shortLived: await leaf(clientCa!, "brief", [], 1),
    port: (server.address() as AddressInfo).port,
    async close() {
      server.close();
      await once(server, "close");
    },
  };
});

after(() => world.close());

interface Answer {
  readonly status: number;
  readonly body: UserInfo & { readonly message?: string };
}

async function ask(
  identity?: KeyPair,
  headers: Readonly<Record<string, string | readonly string[]>> = {},
): Promise<Answer> {
  const request = httpsRequest({
    port: world.port,
    host: "127.0.0.1",
    servername: "localhost",
    ca: world.serverCa.certPem,
    agent: false,
    headers: headers as Record<string, string | string[]>,
    ...(identity === undefined ? {} : { cert: identity.certPem, key: identity.keyPem }),
  });
  request.end();
  const [response] = await once(request, "response");
  let text = "";
  for await (const chunk of response) text += String(chunk);
  return { status: response.statusCode, body: JSON.parse(text) };
}

test("a client certificate names user and groups", async () => {
  const { status, body } = await ask(world.node);
  assert.equal(status, 200);
  assert.equal(body.name, "system:node:n1");
  assert.deepEqual(body.groups, ["system:nodes", "ops", "system:authenticated"]);
  assert.match(
    body.extra?.["authentication.kubernetes.io/credential-id"]?.[0] ?? "",
    /^X509SHA256=[0-9a-f]{64}$/,
  );
});

test("the same holds over HTTP/2, where requests share a connection", async () => {
  const session = connectHttp2(`https://localhost:${world.port}`, {
    ca: world.serverCa.certPem,
    cert: world.node.certPem,
    key: world.node.keyPem,
    lookup: (_host, _options, done) => done(null, [{ address: "127.0.0.1", family: 4 }]),
  });
  for (let round = 0; round < 2; round += 1) {
    const stream = session.request({ ":path": "/" });
    let text = "";
    for await (const chunk of stream) text += String(chunk);
    assert.equal(JSON.parse(text).name, "system:node:n1");
  }
  session.close();
  await once(session, "close");
});

test("a certificate of an unknown authority is refused, not taken for anonymous", async () => {
  assert.deepEqual(await ask(world.stranger), { status: 401, body: { message: "Unauthorized" } });
});

test("a certificate that has run out is refused on the connection's next request", async () => {
  assert.equal((await ask(world.shortLived)).body.name, "brief");
  await clock.advance(2 * dayMs);
  assert.equal((await ask(world.shortLived)).status, 401);
});

test("a front proxy speaks for others, with each group on its own line", async () => {
  const headers = {
    "X-Remote-User": "jane",
    "X-Remote-Uid": "7",
    "X-Remote-Group": ["dev, ops", "qa"],
    "X-Remote-Extra-Scopes": "view",
  };
  const { body } = await ask(world.proxy, headers);
  assert.deepEqual(body, {
    name: "jane",
    uid: "7",
    groups: ["dev, ops", "qa", "system:authenticated"],
    extra: { scopes: ["view"] },
  });
});

test("nobody else's X-Remote headers count", async () => {
  const headers = { "X-Remote-User": "admin", "X-Remote-Group": "system:masters" };
  assert.equal((await ask(world.node, headers)).body.name, "system:node:n1");
  assert.equal((await ask(undefined, headers)).body.name, "system:anonymous");
  assert.equal((await ask(world.otherProxy, headers)).status, 401);
  assert.equal((await ask(world.proxy)).status, 401);
});

test("a bearer token identifies, also beside a certificate that does not", async () => {
  assert.equal((await ask(undefined, { authorization: "Bearer secret" })).body.name, "admin");
  assert.equal((await ask(world.stranger, { authorization: "bearer secret" })).body.name, "admin");
  assert.deepEqual(await ask(undefined, { authorization: "Bearer nope" }), {
    status: 401,
    body: { message: "Unauthorized" },
  });
});

test("no credentials make an anonymous request", async () => {
  assert.deepEqual((await ask()).body, {
    name: "system:anonymous",
    groups: ["system:unauthenticated"],
  });
});

test("a WebSocket may carry its token in the subprotocol list", async () => {
  const authentication = createAuthentication({
    clock,
    store: createObjectStoreFake(),
    staticTokens: [{ token: "secret", user: { name: "admin", groups: [] } }],
    apiAudiences: ["api"],
    bootstrapTokens: false,
    anonymous: false,
  });
  const rawHeaders = [
    "Upgrade",
    "websocket",
    "Sec-WebSocket-Protocol",
    `v4.channel.k8s.io, base64url.bearer.authorization.k8s.io.${Buffer.from("secret").toString("base64url")}`,
  ];
  const user = await authentication.authenticate({
    rawHeaders,
    socket: {},
  } as unknown as Parameters<Authentication["authenticate"]>[0]);
  assert.equal(user.name, "admin");
  await assert.rejects(
    authentication.authenticate({ rawHeaders: [], socket: {} } as unknown as Parameters<
      Authentication["authenticate"]
    >[0]),
    { message: "Unauthorized" },
  );
});

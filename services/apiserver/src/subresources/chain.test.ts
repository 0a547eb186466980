/** Identity, admission, allocation and subresources through a whole API server. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { connect, type AddressInfo } from "node:net";
import { after, before, test } from "node:test";
import type { ApiTransport } from "@wherry/client";
import { createCertificateRequest } from "@wherry/pki";
import {
  adminToken,
  ask,
  configMap,
  startFixture,
  type Answer,
  type Fixture,
} from "../testing/apiserver-fixture.ts";

const kubelet = createServer((request, response) => response.end(`log of ${request.url}\n`));
kubelet.on("upgrade", (_request, socket) => {
  socket.on("error", () => {});
  socket.write(
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n",
  );
  socket.pipe(socket);
});

let fixture: Fixture;
let admin: ApiTransport;
let port: number;

before(async () => {
  kubelet.listen(0, "127.0.0.1");
  await once(kubelet, "listening");
  const dial = async () => {
    const socket = connect((kubelet.address() as AddressInfo).port, "127.0.0.1");
    await once(socket, "connect");
    return socket;
  };
  fixture = await startFixture({
    config: { listen: { host: "127.0.0.1", port: 0 } },
    dialer: { dialKubelet: dial, dialFromNode: dial },
  });
  admin = fixture.admin;
  port = fixture.server.endpoint()!.port;
  await ask(admin, "POST", "/api/v1/namespaces/default/serviceaccounts", {
    metadata: { name: "default" },
  });
});

after(async () => {
  await fixture.close();
  kubelet.closeAllConnections();
  kubelet.close();
});

const pod = (name: string, spec: object = {}, labels: object = {}): object => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name, labels },
  spec: { containers: [{ name: "c", image: "x" }], ...spec },
});
const pods = "/api/v1/namespaces/default/pods";

async function http(
  path: string,
  headers: Readonly<Record<string, string>>,
): Promise<{
  readonly status: number;
  readonly json: { readonly message?: string; readonly items?: unknown[] };
}> {
  const response = await fetch(`http://127.0.0.1:${port}${path}`, { headers });
  return {
    status: response.status,
    json: (await response.json()) as { message?: string; items?: unknown[] },
  };
}

const assertCreated = (answer: Answer): void => assert.equal(answer.status, 201, answer.text);

test("a pod's token opens the API to what roles allow, until the pod is gone", async () => {
  assertCreated(await ask(admin, "POST", pods, pod("holder", { nodeName: "n1" })));
  const { json: holder } = await ask(admin, "GET", `${pods}/holder`);
  const node = fixture.server.transport({ name: "system:node:n1", groups: ["system:nodes"] });
  const wanted = {
    spec: {
      boundObjectRef: { apiVersion: "v1", kind: "Pod", name: "holder", uid: holder.metadata.uid },
    },
  };
  const issued = await ask(
    node,
    "POST",
    "/api/v1/namespaces/default/serviceaccounts/default/token",
    wanted,
  );
  assertCreated(issued);
  const headers = { authorization: `Bearer ${issued.json.status.token}` };
  assert.equal(
    (await http(pods, headers)).json.message,
    'pods is forbidden: User "system:serviceaccount:default:default" cannot list resource "pods" in API group "" in the namespace "default"',
  );
  const rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
  assertCreated(
    await ask(admin, "POST", `${rbac}/roles`, {
      metadata: { name: "r" },
      rules: [{ verbs: ["list"], apiGroups: [""], resources: ["pods"] }],
    }),
  );
  const roleRef = { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: "r" };
  assertCreated(
    await ask(admin, "POST", `${rbac}/rolebindings`, {
      metadata: { name: "b" },
      roleRef,
      subjects: [{ kind: "ServiceAccount", name: "default", namespace: "default" }],
    }),
  );
  assert.equal((await http(pods, headers)).status, 200);
  await ask(admin, "DELETE", `${pods}/holder?gracePeriodSeconds=0`);
  assert.equal((await http(pods, headers)).status, 401);
});

test("an administrator may act as somebody else", async () => {
  const headers = { authorization: `Bearer ${adminToken}`, "impersonate-user": "plain" };
  const { status, json } = await http("/api/v1/nodes", headers);
  assert.deepEqual(
    [status, json.message],
    [
      403,
      'nodes is forbidden: User "plain" cannot list resource "nodes" in API group "" at the cluster scope',
    ],
  );
});

test("a node sees its own pods and what they need", async () => {
  const node = fixture.server.transport({ name: "system:node:n2", groups: ["system:nodes"] });
  assertCreated(
    await ask(admin, "POST", "/api/v1/namespaces/default/secrets", { metadata: { name: "s" } }),
  );
  assert.equal((await ask(node, "GET", "/api/v1/namespaces/default/secrets/s")).status, 403);
  assertCreated(
    await ask(
      admin,
      "POST",
      pods,
      pod("needy", { volumes: [{ name: "v", secret: { secretName: "s" } }] }),
    ),
  );
  assert.equal(
    (
      await ask(admin, "POST", `${pods}/needy/binding`, {
        metadata: { name: "needy" },
        target: { kind: "Node", name: "n2" },
      })
    ).status,
    201,
  );
  assert.equal((await ask(node, "GET", "/api/v1/namespaces/default/secrets/s")).status, 200);
  assert.equal(
    (await ask(node, "GET", "/api/v1/namespaces/default/secrets?fieldSelector=metadata.name%3Ds"))
      .status,
    200,
  );
  assert.equal((await ask(node, "GET", "/api/v1/pods")).status, 403);
  const own = await ask(node, "GET", "/api/v1/pods?fieldSelector=spec.nodeName%3Dn2");
  assert.deepEqual(
    own.json.items.map((one: { metadata: { name: string } }) => one.metadata.name),
    ["needy"],
  );
  const status = { status: { phase: "Running" } };
  assert.equal(
    (
      await ask(node, "PATCH", `${pods}/needy/status`, status, {
        "content-type": "application/merge-patch+json",
      })
    ).status,
    200,
  );
});

test("services get addresses and ports, keep them over updates, and give them back", async () => {
  const services = "/api/v1/namespaces/default/services";
  const service = {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "web" },
    spec: {
      type: "NodePort",
      selector: { a: "b" },
      ports: [{ port: 80, nodePort: 30_500 }],
      clusterIP: "10.43.0.77",
    },
  };
  assertCreated(await ask(admin, "POST", services, service));
  const again = await ask(admin, "POST", services, { ...service, metadata: { name: "other" } });
  assert.deepEqual(
    [again.status, again.json.message],
    [
      422,
      'Service "other" is invalid: spec.clusterIPs: Invalid value: ["10.43.0.77"]: failed to allocate IP 10.43.0.77: provided IP is already allocated',
    ],
  );
  const updated = await ask(admin, "PUT", `${services}/web`, {
    ...service,
    spec: { type: "NodePort", selector: { a: "c" }, ports: [{ port: 80 }] },
  });
  assert.deepEqual(
    [updated.json.spec.clusterIP, updated.json.spec.ports[0].nodePort],
    ["10.43.0.77", 30_500],
  );
  const plain = await ask(
    admin,
    "PATCH",
    `${services}/web`,
    { spec: { type: "ClusterIP" } },
    { "content-type": "application/strategic-merge-patch+json" },
  );
  assert.deepEqual([plain.status, plain.json.spec.ports[0].nodePort], [200, undefined]);
  await ask(admin, "DELETE", `${services}/web`);
  assertCreated(await ask(admin, "POST", services, service));
});

test("a deployment is scaled through its scale", async () => {
  const template = {
    metadata: { labels: { a: "b" } },
    spec: { containers: [{ name: "c", image: "x" }] },
  };
  const deployments = "/apis/apps/v1/namespaces/default/deployments";
  assertCreated(
    await ask(admin, "POST", deployments, {
      metadata: { name: "d" },
      spec: { selector: { matchLabels: { a: "b" } }, template },
    }),
  );
  const merge = { "content-type": "application/merge-patch+json" };
  const scaled = await ask(
    admin,
    "PATCH",
    `${deployments}/d/scale`,
    { spec: { replicas: 4 } },
    merge,
  );
  assert.deepEqual(
    [scaled.status, scaled.json.kind, scaled.json.spec],
    [200, "Scale", { replicas: 4 }],
  );
  const { json } = await ask(admin, "GET", `${deployments}/d`);
  assert.deepEqual([json.spec.replicas, json.metadata.generation], [4, 2]);
});

test("an eviction is a graceful deletion", async () => {
  assertCreated(await ask(admin, "POST", pods, pod("evicted", { nodeName: "n3" })));
  const answer = await ask(admin, "POST", `${pods}/evicted/eviction`, {
    apiVersion: "policy/v1",
    kind: "Eviction",
    metadata: { name: "evicted" },
  });
  assert.deepEqual([answer.status, answer.json.status], [201, "Success"]);
  const { json } = await ask(admin, "GET", `${pods}/evicted`);
  assert.equal(json.metadata.deletionGracePeriodSeconds, 30);
  assert.equal(
    json.status.conditions.find((one: { type: string }) => one.type === "DisruptionTarget").reason,
    "EvictionByEvictionAPI",
  );
});

test("a namespace takes nothing new while it goes, and goes with its last finalizer", async () => {
  assertCreated(await ask(admin, "POST", "/api/v1/namespaces", { metadata: { name: "brief" } }));
  await ask(admin, "DELETE", "/api/v1/namespaces/brief");
  const refused = await ask(admin, "POST", "/api/v1/namespaces/brief/configmaps", configMap("x"));
  assert.deepEqual(
    [refused.status, refused.json.details?.causes?.[0]?.reason],
    [403, "NamespaceTerminating"],
  );
  const { json } = await ask(admin, "GET", "/api/v1/namespaces/brief");
  assert.equal(
    (await ask(admin, "PUT", "/api/v1/namespaces/brief/finalize", { ...json, spec: {} })).status,
    200,
  );
  assert.equal((await ask(admin, "GET", "/api/v1/namespaces/brief")).status, 404);
});

test("a resize raises the generation, and bad ephemeral containers are refused", async () => {
  assertCreated(
    await ask(
      admin,
      "POST",
      pods,
      pod("sized", {
        containers: [{ name: "c", image: "x", resources: { requests: { cpu: "1" } } }],
      }),
    ),
  );
  const resized = await ask(
    admin,
    "PUT",
    `${pods}/sized/resize`,
    pod("sized", {
      containers: [{ name: "c", image: "x", resources: { requests: { cpu: "2" } } }],
    }),
  );
  assert.deepEqual(
    [resized.status, resized.json.metadata.generation, resized.json.spec.containers[0].resources],
    [200, 2, { requests: { cpu: "2" } }],
  );
  // As recorded: validation-update/pod-ephemeralcontainers-bad.
  const bad = await ask(
    admin,
    "PUT",
    `${pods}/sized/ephemeralcontainers`,
    pod("sized", {
      ephemeralContainers: [{ name: "c", image: "x", ports: [{ containerPort: 1 }] }],
    }),
  );
  assert.equal(
    bad.json.message,
    'Pod "sized" is invalid: [spec.ephemeralContainers[0].name: Duplicate value: "c", spec.ephemeralContainers[0].ports: Forbidden: cannot be set for an Ephemeral Container]',
  );
});

test("a signing request names its maker and is approved below it", async () => {
  const { csrDer } = await createCertificateRequest({ subject: { commonName: "jane" } });
  const pem = `-----BEGIN CERTIFICATE REQUEST-----\n${Buffer.from(csrDer).toString("base64").replaceAll(/.{64}/g, "$&\n")}\n-----END CERTIFICATE REQUEST-----\n`;
  const spec = {
    request: Buffer.from(pem).toString("base64"),
    signerName: "example.com/s",
    usages: ["client auth"],
    username: "root",
  };
  const requests = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
  const made = await ask(admin, "POST", requests, { metadata: { name: "r" }, spec });
  assertCreated(made);
  assert.equal(made.json.spec.username, "admin");
  const approved = await ask(admin, "PUT", `${requests}/r/approval`, {
    ...made.json,
    status: { conditions: [{ type: "Approved", status: "True", reason: "r" }] },
  });
  assert.deepEqual([approved.status, approved.json.status.conditions[0].type], [200, "Approved"]);
});

test("logs and exec reach the kubelet", async () => {
  assertCreated(await ask(admin, "POST", pods, pod("talker", { nodeName: "n1" })));
  assert.equal(
    (await ask(admin, "GET", `${pods}/talker/log?tailLines=3`)).text,
    "log of /containerLogs/default/talker/c?tailLines=3\n",
  );
  const socket = connect(port, "127.0.0.1");
  socket.write(
    `POST ${pods}/talker/exec?command=cat&stdin=1 HTTP/1.1\r\nHost: api\r\nAuthorization: Bearer ${adminToken}\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n`,
  );
  let text = "";
  while (!text.includes("\r\n\r\n")) text += String((await once(socket, "data"))[0]);
  assert.match(text, /^HTTP\/1\.1 101 /);
  socket.write("ping");
  while (!text.endsWith("ping")) text += String((await once(socket, "data"))[0]);
  socket.destroy();
});

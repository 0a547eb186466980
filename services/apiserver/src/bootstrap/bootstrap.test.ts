import assert from "node:assert/strict";
import { test } from "node:test";
import type { KubeObject } from "@wherry/machinery";
import { builtinResources } from "@wherry/schema";
import { silentLogger } from "@wherry/service-kit";
import { createManualClock } from "@wherry/service-kit/testing";
import { createAuthorization } from "../auth/authorization.ts";
import { createObjectStoreFake } from "../auth/object-store-fake.ts";
import { resourceIds } from "../auth/resource-ids.ts";
import { createGenericOperations } from "../generic-operations.ts";
import type { ResourceId } from "../object-store.ts";
import { createBootstrap } from "./bootstrap.ts";
import { defaultRolesTable } from "./default-roles-table.ts";
import { parseRoleTable } from "./role-table.ts";

const definitions = [...builtinResources()];
const signal = new AbortController().signal;

function setUp(advertiseAddress = "192.0.2.1", store = createObjectStoreFake()) {
  const clock = createManualClock();
  const operations = createGenericOperations({
    store,
    plugins: () => [],
    clock,
    random: () => 0.5,
  });
  const bootstrap = createBootstrap(
    {
      serviceIp: "10.43.0.1",
      serviceCidrs: ["10.43.0.0/16"],
      advertiseAddress,
      advertisePort: 6443,
      clientCa: "PEM",
      requestHeader: {
        requestHeaderCa: "PEM2",
        allowedNames: ["system:auth-proxy"],
        usernameHeaders: ["X-Remote-User"],
        uidHeaders: ["X-Remote-Uid"],
        groupHeaders: ["X-Remote-Group"],
        extraHeaderPrefixes: ["X-Remote-Extra-"],
      },
    },
    {
      store,
      operations,
      clock,
      log: silentLogger,
      definitionOf: ({ group, resource }) =>
        definitions.find((one) => one.group === group && one.resource === resource)!,
    },
  );
  const peek = (
    resource: ResourceId,
    namespace: string,
    name: string,
  ): Readonly<Record<string, unknown>> =>
    store.peek(resource, namespace, name) as unknown as Readonly<Record<string, unknown>>;
  return { clock, store, bootstrap, peek };
}

/** Lets reactions to a change run to their end. */
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("a new cluster gets its namespaces, the service kubernetes, priority classes and the range", async () => {
  const { store, bootstrap, peek } = setUp();
  await bootstrap.run(signal);
  assert.deepEqual(
    new Set(store.peekAll(resourceIds.namespaces).map((one) => one.metadata.name)),
    new Set(["default", "kube-node-lease", "kube-public", "kube-system"]),
  );
  const service = peek(resourceIds.services, "default", "kubernetes")["spec"];
  assert.deepEqual(service, {
    type: "ClusterIP",
    clusterIP: "10.43.0.1",
    clusterIPs: ["10.43.0.1"],
    ipFamilies: ["IPv4"],
    ipFamilyPolicy: "SingleStack",
    internalTrafficPolicy: "Cluster",
    sessionAffinity: "None",
    ports: [{ name: "https", protocol: "TCP", port: 443, targetPort: 6443 }],
  });
  assert.deepEqual(peek(resourceIds.endpoints, "default", "kubernetes")["subsets"], [
    { addresses: [{ ip: "192.0.2.1" }], ports: [{ name: "https", port: 6443, protocol: "TCP" }] },
  ]);
  assert.equal(
    peek(resourceIds.priorityClasses, "", "system-node-critical")["value"],
    2_000_001_000,
  );
  assert.deepEqual(
    (peek(resourceIds.serviceCidrs, "", "kubernetes")["spec"] as { readonly cidrs: unknown }).cidrs,
    ["10.43.0.0/16"],
  );
  const data = peek(resourceIds.configMaps, "kube-system", "extension-apiserver-authentication")[
    "data"
  ] as Record<string, string>;
  assert.deepEqual(
    [data["client-ca-file"], data["requestheader-allowed-names"]],
    ["PEM", '["system:auth-proxy"]'],
  );
});

test("a second start changes nothing", async () => {
  const { store, bootstrap } = setUp();
  await bootstrap.run(signal);
  const before = JSON.stringify(
    Object.values(resourceIds).map((resource) => store.peekAll(resource)),
  );
  await setUp("192.0.2.1", store).bootstrap.run(signal);
  assert.equal(
    JSON.stringify(Object.values(resourceIds).map((resource) => store.peekAll(resource))),
    before,
  );
});

test("a start at another address takes over, and a running server only adds its own", async () => {
  const { store, bootstrap, peek } = setUp();
  await bootstrap.run(signal);
  bootstrap.watch();
  const second = setUp("192.0.2.2", store);
  await second.bootstrap.run(signal);
  await settle();
  const addresses = (): unknown =>
    (
      peek(resourceIds.endpointSlices, "default", "kubernetes")["endpoints"] as {
        addresses: string[];
      }[]
    ).flatMap((one) => one.addresses);
  assert.deepEqual(addresses(), ["192.0.2.1", "192.0.2.2"]);
  bootstrap.close();
});

test("deleted endpoints and a deleted service come back at once", async () => {
  const { store, bootstrap, peek } = setUp();
  await bootstrap.run(signal);
  bootstrap.watch();
  await store.delete(resourceIds.endpoints, "default", "kubernetes");
  await store.delete(resourceIds.services, "default", "kubernetes");
  await settle();
  assert.notEqual(peek(resourceIds.endpoints, "default", "kubernetes"), undefined);
  assert.notEqual(peek(resourceIds.services, "default", "kubernetes"), undefined);
  bootstrap.close();
  await store.delete(resourceIds.endpoints, "default", "kubernetes");
  await settle();
  assert.equal(peek(resourceIds.endpoints, "default", "kubernetes"), undefined);
});

test("the default roles are upstream's in number, and let the components in", async () => {
  const { store, bootstrap } = setUp();
  await bootstrap.run(signal);
  const count = (kind: string): number =>
    parseRoleTable(defaultRolesTable).filter((one) => one.kind === kind).length;
  assert.deepEqual(
    [count("ClusterRole"), count("ClusterRoleBinding"), count("Role"), count("RoleBinding")],
    [69, 50, 7, 7],
  );
  const authorization = createAuthorization({ store });
  const may = (
    name: string,
    verb: string,
    resource: string,
    apiGroup = "",
    namespace = "default",
    subresource = "",
  ): boolean =>
    authorization.authorize({
      user: { name, groups: ["system:authenticated"] },
      verb,
      isResourceRequest: true,
      apiGroup,
      apiVersion: "v1",
      resource,
      subresource,
      namespace,
      name: "",
      path: "",
    }).decision === "allow";
  assert.ok(may("system:kube-scheduler", "create", "pods", "", "default", "binding"));
  assert.ok(may("system:kube-controller-manager", "create", "pods"));
  assert.ok(
    may(
      "system:kube-controller-manager",
      "update",
      "leases",
      "coordination.k8s.io",
      "kube-system",
    ) ||
      may(
        "system:kube-controller-manager",
        "create",
        "leases",
        "coordination.k8s.io",
        "kube-system",
      ),
  );
  assert.ok(!may("system:kube-scheduler", "create", "deployments", "apps"));
  assert.ok(!may("plain", "list", "pods"));
  assert.ok(may("plain", "create", "selfsubjectaccessreviews", "authorization.k8s.io", ""));
  const anonymous = {
    user: { name: "system:anonymous", groups: ["system:unauthenticated"] },
    verb: "get",
    isResourceRequest: false,
    apiGroup: "",
    apiVersion: "",
    resource: "",
    subresource: "",
    namespace: "",
    name: "",
  };
  // Two bindings allow it, and which of them is named is left open (verbs/ssar-nr-plain names the second).
  const allowed = authorization.authorize({
    ...anonymous,
    user: { name: "plain", groups: ["system:authenticated"] },
    path: "/healthz",
  });
  assert.match(
    allowed.reason,
    /^RBAC: allowed by ClusterRoleBinding "(system:[a-z-]+)" of ClusterRole "\1" to Group "system:authenticated"$/,
  );
  assert.equal(authorization.authorize({ ...anonymous, path: "/healthz" }).decision, "allow");
  assert.equal(authorization.authorize({ ...anonymous, path: "/api" }).decision, "noOpinion");
});

test("rules that a default role lacks are added unless it opted out, and additions stay", async () => {
  const { store, bootstrap } = setUp();
  await bootstrap.run(signal);
  const own = { verbs: ["get"], apiGroups: ["example.com"], resources: ["things"] };
  const shrink = (annotations: Record<string, string>): KubeObject =>
    store.put(resourceIds.clusterRoles, {
      metadata: { name: "system:node-bootstrapper", annotations },
      rules: [own],
    } as unknown as KubeObject);
  const rules = (): readonly unknown[] =>
    (
      store.peek(resourceIds.clusterRoles, "", "system:node-bootstrapper") as unknown as {
        rules: unknown[];
      }
    ).rules;
  shrink({ "rbac.authorization.kubernetes.io/autoupdate": "true" });
  await setUp("192.0.2.1", store).bootstrap.run(signal);
  assert.deepEqual(rules(), [
    own,
    {
      verbs: ["create", "get", "list", "watch"],
      apiGroups: ["certificates.k8s.io"],
      resources: ["certificatesigningrequests"],
    },
  ]);
  shrink({ "rbac.authorization.kubernetes.io/autoupdate": "false" });
  await setUp("192.0.2.1", store).bootstrap.run(signal);
  assert.deepEqual(rules(), [own]);
});

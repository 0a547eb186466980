import assert from "node:assert/strict";
import { test } from "node:test";
import type { KubeObject, UserInfo } from "@wherry/machinery";
import type { AuthorizationAttributes } from "../chain.ts";
import { createAuthorization, forbidden } from "./authorization.ts";
import { createObjectStoreFake } from "./object-store-fake.ts";
import { resourceIds } from "./resource-ids.ts";

const plain: UserInfo = { name: "plain", groups: ["system:authenticated"] };
const kubelet: UserInfo = {
  name: "system:node:n1",
  groups: ["system:nodes", "system:authenticated"],
};

function attributes(part: Partial<AuthorizationAttributes>): AuthorizationAttributes {
  return {
    user: plain,
    verb: "get",
    isResourceRequest: true,
    apiGroup: "",
    apiVersion: "v1",
    resource: "",
    subresource: "",
    namespace: "",
    name: "",
    path: "",
    ...part,
  };
}

function setUp() {
  const store = createObjectStoreFake();
  const authorization = createAuthorization({ store, builtIn: [] });
  const allows = (part: Partial<AuthorizationAttributes>): boolean =>
    authorization.authorize(attributes(part)).decision === "allow";
  return { store, authorization, allows };
}

const role = (name: string, rules: object[], rest: object = {}): KubeObject =>
  ({ metadata: { name }, rules, ...rest }) as unknown as KubeObject;

test("masters may do everything and nobody else may do anything by itself", () => {
  const { allows } = setUp();
  assert.ok(
    allows({ user: { name: "a", groups: ["system:masters"] }, verb: "delete", resource: "nodes" }),
  );
  assert.ok(!allows({ resource: "pods", verb: "list", namespace: "default" }));
});

test("a role binding counts in its namespace only and a cluster role binding everywhere", () => {
  const { store, allows, authorization } = setUp();
  store.put(
    resourceIds.clusterRoles,
    role("reader", [{ verbs: ["get", "list"], apiGroups: [""], resources: ["pods", "pods/log"] }]),
  );
  store.put(resourceIds.roleBindings, {
    metadata: { name: "b", namespace: "one" },
    roleRef: { kind: "ClusterRole", name: "reader" },
    subjects: [{ kind: "User", name: "plain" }],
  } as KubeObject);
  assert.ok(allows({ resource: "pods", namespace: "one" }));
  assert.ok(allows({ resource: "pods", subresource: "log", namespace: "one" }));
  assert.ok(!allows({ resource: "pods", subresource: "exec", namespace: "one" }));
  assert.ok(!allows({ resource: "pods", namespace: "two" }));
  assert.ok(!allows({ resource: "pods" }));
  store.put(resourceIds.clusterRoleBindings, {
    metadata: { name: "all" },
    roleRef: { kind: "ClusterRole", name: "reader" },
    subjects: [{ kind: "ServiceAccount", name: "app", namespace: "one" }],
  } as KubeObject);
  const decision = authorization.authorize(
    attributes({ user: { name: "system:serviceaccount:one:app", groups: [] }, resource: "pods" }),
  );
  assert.deepEqual(decision, {
    decision: "allow",
    reason:
      'RBAC: allowed by ClusterRoleBinding "all" of ClusterRole "reader" to ServiceAccount "app/one"',
  });
});

test("rules know names, paths, wildcards and aggregation", () => {
  const { store, allows } = setUp();
  store.put(
    resourceIds.clusterRoles,
    role("edit", [], {
      aggregationRule: { clusterRoleSelectors: [{ matchLabels: { part: "edit" } }] },
    }),
  );
  store.put(resourceIds.clusterRoles, {
    metadata: { name: "one-secret", labels: { part: "edit" } },
    rules: [
      { verbs: ["get"], apiGroups: [""], resources: ["secrets"], resourceNames: ["s"] },
      { verbs: ["get"], nonResourceURLs: ["/metrics/*"] },
      { verbs: ["update"], apiGroups: ["*"], resources: ["*/scale"] },
    ],
  } as KubeObject);
  store.put(resourceIds.clusterRoleBindings, {
    metadata: { name: "b" },
    roleRef: { kind: "ClusterRole", name: "edit" },
    subjects: [{ kind: "Group", name: "system:authenticated" }],
  } as KubeObject);
  assert.ok(allows({ resource: "secrets", name: "s", namespace: "x" }));
  assert.ok(!allows({ resource: "secrets", name: "t", namespace: "x" }));
  assert.ok(!allows({ resource: "secrets", verb: "list", namespace: "x" }));
  assert.ok(allows({ isResourceRequest: false, path: "/metrics/resource" }));
  assert.ok(!allows({ isResourceRequest: false, path: "/metrics" }));
  assert.ok(
    allows({ resource: "deployments", apiGroup: "apps", subresource: "scale", verb: "update" }),
  );
  assert.ok(!allows({ resource: "deployments", apiGroup: "apps", verb: "update" }));
});

test("a built-in grant names roles by prefix", () => {
  const store = createObjectStoreFake();
  store.put(
    resourceIds.clusterRoles,
    role("system:controller:job", [{ verbs: ["create"], apiGroups: [""], resources: ["pods"] }]),
  );
  const authorization = createAuthorization({
    store,
    builtIn: [
      {
        subject: { kind: "User", name: "system:kube-controller-manager" },
        clusterRole: "system:controller:*",
      },
    ],
  });
  const controller: UserInfo = { name: "system:kube-controller-manager", groups: [] };
  assert.equal(
    authorization.authorize(
      attributes({ user: controller, verb: "create", resource: "pods", namespace: "x" }),
    ).decision,
    "allow",
  );
  assert.equal(
    authorization.authorize(attributes({ verb: "create", resource: "pods", namespace: "x" }))
      .decision,
    "noOpinion",
  );
});

test("a node reads what its pods refer to, and only while they do", async () => {
  const { store, allows } = setUp();
  const secret = { user: kubelet, resource: "secrets", namespace: "default", name: "s" };
  assert.ok(!allows(secret));
  store.put(resourceIds.pods, {
    metadata: { namespace: "default", name: "p" },
    spec: {
      nodeName: "n1",
      serviceAccountName: "app",
      containers: [{ name: "c", envFrom: [{ secretRef: { name: "s" } }] }],
      volumes: [
        { name: "v", persistentVolumeClaim: { claimName: "c1" } },
        { name: "w", projected: { sources: [{ configMap: { name: "cm" } }] } },
      ],
    },
  } as KubeObject);
  store.put(resourceIds.persistentVolumes, {
    metadata: { name: "pv" },
    spec: { claimRef: { namespace: "default", name: "c1" } },
  } as KubeObject);
  assert.ok(allows(secret));
  assert.ok(
    allows({
      user: kubelet,
      verb: "watch",
      resource: "configmaps",
      namespace: "default",
      name: "cm",
    }),
  );
  assert.ok(allows({ user: kubelet, resource: "persistentvolumes", name: "pv" }));
  assert.ok(
    allows({
      user: kubelet,
      verb: "create",
      resource: "serviceaccounts",
      subresource: "token",
      namespace: "default",
      name: "app",
    }),
  );
  assert.ok(
    !allows({
      user: { ...kubelet, name: "system:node:n2" },
      resource: "secrets",
      namespace: "default",
      name: "s",
    }),
  );
  assert.ok(!allows({ user: kubelet, verb: "list", resource: "secrets", namespace: "default" }));
  await store.delete(resourceIds.pods, "default", "p");
  assert.ok(!allows(secret));
});

test("a node has its own node, lease and pods", () => {
  const { allows } = setUp();
  assert.ok(allows({ user: kubelet, resource: "nodes", name: "n1" }));
  assert.ok(!allows({ user: kubelet, resource: "nodes", name: "n2" }));
  assert.ok(
    allows({
      user: kubelet,
      verb: "update",
      resource: "leases",
      apiGroup: "coordination.k8s.io",
      namespace: "kube-node-lease",
      name: "n1",
    }),
  );
  assert.ok(
    !allows({
      user: kubelet,
      verb: "update",
      resource: "leases",
      apiGroup: "coordination.k8s.io",
      namespace: "kube-node-lease",
      name: "n2",
    }),
  );
  assert.ok(
    allows({ user: kubelet, verb: "watch", resource: "pods", fieldSelector: "spec.nodeName=n1" }),
  );
  assert.ok(
    !allows({ user: kubelet, verb: "watch", resource: "pods", fieldSelector: "spec.nodeName=n2" }),
  );
  assert.ok(!allows({ user: kubelet, verb: "list", resource: "pods" }));
  assert.ok(allows({ user: kubelet, verb: "create", resource: "events", namespace: "default" }));
});

// The texts are those of the recorded answers verbs/forbidden-*.
test("refusals read as upstream's", () => {
  const message = (part: Partial<AuthorizationAttributes>): string =>
    forbidden(attributes(part), "").message;
  assert.equal(
    message({ verb: "list", resource: "pods", namespace: "nope-y" }),
    'pods is forbidden: User "plain" cannot list resource "pods" in API group "" in the namespace "nope-y"',
  );
  assert.equal(
    message({
      resource: "deployments",
      apiGroup: "apps",
      subresource: "scale",
      namespace: "nope-y",
      name: "x",
    }),
    'deployments.apps "x" is forbidden: User "plain" cannot get resource "deployments/scale" in API group "apps" in the namespace "nope-y"',
  );
  assert.equal(
    message({ verb: "delete", resource: "nodes", name: "n" }),
    'nodes "n" is forbidden: User "plain" cannot delete resource "nodes" in API group "" at the cluster scope',
  );
  assert.deepEqual(
    forbidden(attributes({ isResourceRequest: false, path: "/metrics-nope" }), "").status,
    {
      kind: "Status",
      apiVersion: "v1",
      metadata: {},
      status: "Failure",
      message: 'forbidden: User "plain" cannot get path "/metrics-nope"',
      reason: "Forbidden",
      details: {},
      code: 403,
    },
  );
});

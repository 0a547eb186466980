import assert from "node:assert/strict";
import { test } from "node:test";
import type { ApiError, KubeObject, UserInfo } from "@wherry/machinery";
import type { Draft } from "@wherry/schema";
import { createManualClock } from "@wherry/service-kit/testing";
import { createAuthorization } from "../auth/authorization.ts";
import { createObjectStoreFake } from "../auth/object-store-fake.ts";
import { resourceIds } from "../auth/resource-ids.ts";
import type { AdmissionOperation, AdmissionRequest } from "../chain.ts";
import type { ResourceId } from "../object-store.ts";
import { createAdmissionPlugins } from "./admission-plugins.ts";

const admin: UserInfo = { name: "admin", groups: ["system:masters"] };
const kubelet: UserInfo = { name: "system:node:n1", groups: ["system:nodes"] };

interface Asked {
  readonly operation?: AdmissionOperation;
  readonly namespace?: string;
  readonly name?: string;
  readonly subresource?: string;
  readonly user?: UserInfo;
  readonly object?: object;
  readonly old?: object;
}

function setUp() {
  const clock = createManualClock();
  const store = createObjectStoreFake();
  const authorization = createAuthorization({ store, builtIn: [] });
  const plugins = createAdmissionPlugins({ store, authorization, clock, random: () => 0.5 });
  store.put(resourceIds.namespaces, { metadata: { name: "default" } });
  store.put(resourceIds.serviceAccounts, { metadata: { namespace: "default", name: "default" } });
  const admit = async (resource: ResourceId, asked: Asked): Promise<Draft> => {
    const draft =
      asked.object === undefined
        ? undefined
        : (structuredClone({ metadata: {}, ...asked.object }) as unknown as Draft);
    const request: AdmissionRequest = {
      operation: asked.operation ?? "CREATE",
      definition: resource as AdmissionRequest["definition"],
      subresource: asked.subresource ?? "",
      namespace: asked.namespace ?? "",
      name: asked.name ?? "",
      user: asked.user ?? admin,
      dryRun: false,
      draft,
      old: asked.old as KubeObject | undefined,
    };
    for (const plugin of plugins) await plugin.mutate?.(request);
    for (const plugin of plugins) await plugin.validate?.(request);
    return draft ?? { metadata: {} };
  };
  const refusal = async (resource: ResourceId, asked: Asked): Promise<ApiError> => {
    try {
      await admit(resource, asked);
    } catch (error) {
      return error as ApiError;
    }
    throw new Error("the request was admitted");
  };
  return { clock, store, admit, refusal };
}

const pod = (spec: object = {}, metadata: object = { name: "x" }): object => ({
  metadata,
  spec: { containers: [{ name: "c", image: "nginx" }], ...spec },
});

// The result is that of the recorded answer defaulting/pod-tolerations.
test("a pod gets account, token, tolerations and priority as upstream gives them", async () => {
  const { admit } = setUp();
  const own = [
    {
      key: "node.kubernetes.io/not-ready",
      operator: "Exists",
      effect: "NoExecute",
      tolerationSeconds: 5,
    },
    { operator: "Exists", effect: "NoSchedule" },
  ];
  const { spec } = (await admit(resourceIds.pods, {
    namespace: "default",
    object: pod({ tolerations: own }),
  })) as unknown as { spec: Record<string, never> };
  const name = (spec["volumes"] as unknown as { name: string }[])[0]?.name ?? "";
  assert.match(name, /^kube-api-access-[a-z0-9]{5}$/);
  assert.deepEqual(spec, {
    containers: [
      {
        name: "c",
        image: "nginx",
        volumeMounts: [
          { name, readOnly: true, mountPath: "/var/run/secrets/kubernetes.io/serviceaccount" },
        ],
      },
    ],
    volumes: [
      {
        name,
        projected: {
          sources: [
            { serviceAccountToken: { expirationSeconds: 3607, path: "token" } },
            { configMap: { name: "kube-root-ca.crt", items: [{ key: "ca.crt", path: "ca.crt" }] } },
            {
              downwardAPI: {
                items: [
                  {
                    path: "namespace",
                    fieldRef: { apiVersion: "v1", fieldPath: "metadata.namespace" },
                  },
                ],
              },
            },
          ],
          defaultMode: 420,
        },
      },
    ],
    serviceAccountName: "default",
    serviceAccount: "default",
    tolerations: [
      ...own,
      {
        key: "node.kubernetes.io/unreachable",
        operator: "Exists",
        effect: "NoExecute",
        tolerationSeconds: 300,
      },
    ],
    priority: 0,
    preemptionPolicy: "PreemptLowerPriority",
  });
});

test("the token stays out where pod or account decline it or something else is mounted there", async () => {
  const { store, admit } = setUp();
  assert.equal(
    (
      (
        await admit(resourceIds.pods, {
          namespace: "default",
          object: pod({ automountServiceAccountToken: false }),
        })
      )["spec"] as Record<string, never>
    )["volumes"],
    undefined,
  );
  store.put(resourceIds.serviceAccounts, {
    metadata: { namespace: "default", name: "quiet" },
    automountServiceAccountToken: false,
    imagePullSecrets: [{ name: "r" }],
  } as KubeObject);
  const quiet = (
    await admit(resourceIds.pods, {
      namespace: "default",
      object: pod({ serviceAccountName: "quiet" }),
    })
  )["spec"] as Record<string, never>;
  assert.deepEqual([quiet["volumes"], quiet["imagePullSecrets"]], [undefined, [{ name: "r" }]]);
  const mounted = [
    {
      name: "c",
      volumeMounts: [{ name: "own", mountPath: "/var/run/secrets/kubernetes.io/serviceaccount" }],
    },
  ];
  assert.equal(
    (
      (
        await admit(resourceIds.pods, {
          namespace: "default",
          object: pod({ containers: mounted }),
        })
      )["spec"] as Record<string, never>
    )["volumes"],
    undefined,
  );
});

test("a pod waits a moment for the default account and does not wait for any other", async () => {
  const { clock, store, admit, refusal } = setUp();
  store.put(resourceIds.namespaces, { metadata: { name: "fresh" } });
  const admitted = admit(resourceIds.pods, { namespace: "fresh", object: pod() });
  await clock.advance(100);
  store.put(resourceIds.serviceAccounts, { metadata: { namespace: "fresh", name: "default" } });
  assert.equal(
    ((await admitted)["spec"] as Record<string, never>)["serviceAccountName"],
    "default",
  );
  assert.equal(clock.pending, 0);
  const { message } = await refusal(resourceIds.pods, {
    namespace: "default",
    object: pod({ serviceAccountName: "nope" }, { generateName: "web-" }),
  });
  assert.equal(
    message,
    'pods "web-" is forbidden: error looking up service account default/nope: serviceaccount "nope" not found',
  );
  store.put(resourceIds.namespaces, { metadata: { name: "never" } });
  const refused = refusal(resourceIds.pods, { namespace: "never", object: pod() });
  await clock.advance(1_500);
  assert.match((await refused).message, /serviceaccount "default" not found/);
});

test("nothing is created in a namespace that is missing or going", async () => {
  const { store, refusal } = setUp();
  // As recorded: verbs/create-in-missing-ns.
  assert.deepEqual(
    (
      await refusal(resourceIds.configMaps, {
        namespace: "nope-x",
        object: { metadata: { name: "x" } },
      })
    ).status,
    {
      kind: "Status",
      apiVersion: "v1",
      metadata: {},
      status: "Failure",
      message: 'namespaces "nope-x" not found',
      reason: "NotFound",
      details: { name: "nope-x", kind: "namespaces" },
      code: 404,
    },
  );
  store.put(resourceIds.namespaces, {
    metadata: { name: "going", deletionTimestamp: "2026-01-01T00:00:00Z" },
  });
  const { status } = await refusal(resourceIds.configMaps, {
    namespace: "going",
    object: { metadata: { name: "x" } },
  });
  assert.equal(
    status.message,
    'configmaps "x" is forbidden: unable to create new content in namespace going because it is being terminated',
  );
  assert.equal(status.details?.causes?.[0]?.reason, "NamespaceTerminating");
});

test("the system's namespaces stay", async () => {
  const { admit, refusal } = setUp();
  // As recorded: verbs/delete-protected-ns.
  const { status } = await refusal(resourceIds.namespaces, {
    operation: "DELETE",
    name: "default",
  });
  assert.deepEqual(
    [status.message, status.code],
    ['namespaces "default" is forbidden: this namespace may not be deleted', 403],
  );
  await admit(resourceIds.namespaces, { operation: "DELETE", name: "other" });
});

test("a priority class gives its number, and the number alone is refused", async () => {
  const { store, admit, refusal } = setUp();
  store.put(resourceIds.priorityClasses, {
    metadata: { name: "high" },
    value: 100,
    preemptionPolicy: "Never",
  } as KubeObject);
  const { spec } = (await admit(resourceIds.pods, {
    namespace: "default",
    object: pod({ priorityClassName: "high" }),
  })) as unknown as { spec: Record<string, never> };
  assert.deepEqual([spec["priority"], spec["preemptionPolicy"]], [100, "Never"]);
  assert.match(
    (
      await refusal(resourceIds.pods, {
        namespace: "default",
        object: pod({ priorityClassName: "nope" }),
      })
    ).message,
    /no PriorityClass with name nope was found/,
  );
  assert.match(
    (await refusal(resourceIds.pods, { namespace: "default", object: pod({ priority: 7 }) }))
      .message,
    /the integer value of priority \(7\) must not be provided in pod spec/,
  );
  store.put(resourceIds.priorityClasses, {
    metadata: { name: "usual" },
    value: 5,
    globalDefault: true,
  } as KubeObject);
  const usual = (await admit(resourceIds.pods, { namespace: "default", object: pod() }))[
    "spec"
  ] as Record<string, never>;
  assert.deepEqual([usual["priorityClassName"], usual["priority"]], ["usual", 5]);
  const second = { metadata: { name: "second" }, globalDefault: true };
  assert.match(
    (await refusal(resourceIds.priorityClasses, { name: "second", object: second })).message,
    /PriorityClass usual is already marked as default/,
  );
});

test("nodes begin unready, volumes protected, and claims and ingresses with the default class", async () => {
  const { store, admit } = setUp();
  // As recorded: defaulting/node-cidr-taints.
  const node = await admit(resourceIds.nodes, {
    object: { metadata: { name: "n" }, spec: { taints: [{ key: "k", effect: "NoSchedule" }] } },
  });
  assert.deepEqual((node["spec"] as Record<string, never>)["taints"], [
    { key: "k", effect: "NoSchedule" },
    { key: "node.kubernetes.io/not-ready", effect: "NoSchedule" },
  ]);
  assert.deepEqual(
    (await admit(resourceIds.persistentVolumes, { object: {} })).metadata["finalizers"],
    ["kubernetes.io/pv-protection"],
  );
  const mark = (age: string): object => ({
    creationTimestamp: age,
    annotations: { "storageclass.kubernetes.io/is-default-class": "true" },
  });
  store.put(resourceIds.storageClasses, {
    metadata: { name: "old", ...mark("2026-01-01T00:00:00Z") },
  });
  store.put(resourceIds.storageClasses, {
    metadata: { name: "new", ...mark("2026-01-02T00:00:00Z") },
  });
  const claim = await admit(resourceIds.persistentVolumeClaims, {
    namespace: "default",
    object: {},
  });
  assert.deepEqual(
    [claim.metadata["finalizers"], claim["spec"]],
    [["kubernetes.io/pvc-protection"], { storageClassName: "new" }],
  );
  const none = await admit(resourceIds.persistentVolumeClaims, {
    namespace: "default",
    object: { spec: { storageClassName: "" } },
  });
  assert.deepEqual(none["spec"], { storageClassName: "" });
});

test("a node agent writes about its own node and pods only", async () => {
  const { store, admit, refusal } = setUp();
  const as = { user: kubelet };
  assert.match(
    (await refusal(resourceIds.nodes, { ...as, name: "n2", object: { metadata: { name: "n2" } } }))
      .message,
    /node "n1" is not allowed to modify node "n2"/,
  );
  await admit(resourceIds.nodes, {
    ...as,
    name: "n1",
    object: { metadata: { name: "n1", labels: { "kubernetes.io/hostname": "n1", mine: "1" } } },
  });
  const master = { metadata: { name: "n1", labels: { "node-role.kubernetes.io/master": "true" } } };
  assert.match(
    (
      await refusal(resourceIds.nodes, {
        ...as,
        operation: "UPDATE",
        name: "n1",
        object: master,
        old: { metadata: { name: "n1" } },
      })
    ).message,
    /is not allowed to modify labels: node-role\.kubernetes\.io\/master/,
  );
  const taintless = { metadata: { name: "n1" }, spec: { taints: [{ key: "k" }] } };
  assert.match(
    (
      await refusal(resourceIds.nodes, {
        ...as,
        operation: "UPDATE",
        name: "n1",
        object: { metadata: { name: "n1" } },
        old: taintless,
      })
    ).message,
    /not allowed to modify taints/,
  );
  assert.match(
    (
      await refusal(resourceIds.pods, {
        ...as,
        namespace: "default",
        object: pod({ nodeName: "n1" }),
      })
    ).message,
    /can only create mirror pods/,
  );
  const bound = store.put(resourceIds.pods, {
    metadata: { namespace: "default", name: "p" },
    spec: { nodeName: "n1", serviceAccountName: "default" },
  } as KubeObject);
  store.put(resourceIds.pods, {
    metadata: { namespace: "default", name: "q" },
    spec: { nodeName: "n2" },
  } as KubeObject);
  await admit(resourceIds.pods, { ...as, operation: "DELETE", namespace: "default", name: "p" });
  assert.match(
    (
      await refusal(resourceIds.pods, {
        ...as,
        operation: "DELETE",
        namespace: "default",
        name: "q",
      })
    ).message,
    /can only delete pods with spec\.nodeName set to itself/,
  );
  const token = (ref: object | undefined, audiences: readonly string[] = []): Asked => ({
    ...as,
    namespace: "default",
    name: "default",
    subresource: "token",
    object: { spec: { audiences, boundObjectRef: ref } },
  });
  const ref = { apiVersion: "v1", kind: "Pod", name: "p", uid: bound.metadata.uid };
  await admit(resourceIds.serviceAccounts, token(ref));
  assert.match(
    (await refusal(resourceIds.serviceAccounts, token(undefined))).message,
    /node requested token not bound to a pod/,
  );
  assert.match(
    (await refusal(resourceIds.serviceAccounts, token(ref, ["vault"]))).message,
    /audience "vault" not found in pod spec volume/,
  );
});

test("approval of a signing request needs permission for the signer", async () => {
  const { store, admit, refusal } = setUp();
  const requests: ResourceId = {
    group: "certificates.k8s.io",
    resource: "certificatesigningrequests",
  };
  const plain: UserInfo = { name: "plain", uid: "1", groups: ["dev"] };
  const approve: Asked = {
    user: plain,
    operation: "UPDATE",
    subresource: "approval",
    name: "r",
    object: {},
    old: { metadata: { name: "r" }, spec: { signerName: "example.com/s" } },
  };
  assert.match(
    (await refusal(requests, approve)).message,
    /user not permitted to approve requests with signerName "example\.com\/s"/,
  );
  store.put(resourceIds.clusterRoles, {
    metadata: { name: "a" },
    rules: [
      {
        verbs: ["approve"],
        apiGroups: ["certificates.k8s.io"],
        resources: ["signers"],
        resourceNames: ["example.com/*"],
      },
    ],
  } as KubeObject);
  store.put(resourceIds.clusterRoleBindings, {
    metadata: { name: "a" },
    roleRef: { kind: "ClusterRole", name: "a" },
    subjects: [{ kind: "User", name: "plain" }],
  } as KubeObject);
  await admit(requests, approve);
});

test("nobody grants what he has not", async () => {
  const { store, admit, refusal } = setUp();
  const plain: UserInfo = { name: "plain", groups: [] };
  const rule = { verbs: ["get"], apiGroups: [""], resources: ["pods"] };
  const role: Asked = {
    user: plain,
    namespace: "default",
    name: "r",
    object: { metadata: { name: "r" }, rules: [rule] },
  };
  const { message } = await refusal(resourceIds.roles, role);
  assert.match(
    message,
    /^roles\.rbac\.authorization\.k8s\.io "r" is forbidden: user "plain" \(groups=\[\]\) is attempting to grant RBAC permissions not currently held:\n\{APIGroups:\[""\], Resources:\["pods"\], Verbs:\["get"\]\}$/,
  );
  store.put(resourceIds.clusterRoles, {
    metadata: { name: "reader" },
    rules: [{ verbs: ["*"], apiGroups: [""], resources: ["pods"] }],
  } as KubeObject);
  const binding: Asked = {
    user: plain,
    namespace: "default",
    name: "b",
    object: {
      metadata: { name: "b" },
      roleRef: { kind: "ClusterRole", name: "reader" },
      subjects: [],
    },
  };
  assert.match((await refusal(resourceIds.roleBindings, binding)).message, /not currently held/);
  store.put(resourceIds.clusterRoles, {
    metadata: { name: "sum" },
    rules: null,
    aggregationRule: { clusterRoleSelectors: [{ matchLabels: { part: "1" } }] },
  } as KubeObject);
  store.put(resourceIds.clusterRoles, {
    metadata: { name: "part", labels: { part: "1" } },
    rules: [rule],
  } as KubeObject);
  const aggregated = {
    ...binding,
    object: { ...binding.object, roleRef: { kind: "ClusterRole", name: "sum" } },
  };
  assert.match((await refusal(resourceIds.roleBindings, aggregated)).message, /not currently held/);
  store.put(resourceIds.roleBindings, {
    metadata: { namespace: "default", name: "p" },
    roleRef: { kind: "ClusterRole", name: "reader" },
    subjects: [{ kind: "User", name: "plain" }],
  } as KubeObject);
  await admit(resourceIds.roles, role);
  await admit(resourceIds.roleBindings, binding);
});

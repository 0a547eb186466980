import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { test } from "node:test";
import type { KubeObject, UserInfo } from "@wherry/machinery";
import { createManualClock } from "@wherry/service-kit/testing";
import { createAuthorization } from "../auth/authorization.ts";
import { createTokenUnion } from "../auth/bearer-token-authenticator.ts";
import { createObjectStoreFake } from "../auth/object-store-fake.ts";
import { resourceIds } from "../auth/resource-ids.ts";
import { createServiceAccountAuthenticator } from "../auth/service-account-authenticator.ts";
import { parseSigningKey } from "../auth/service-account-keys.ts";
import { createTokenIssuer } from "../auth/service-account-tokens.ts";
import { createReviewHandlers } from "./reviews.ts";
import { createSubresourceCaller } from "./subresource-requests.ts";
import { createTokenRequestHandler } from "./token-request.ts";

const signingKey = parseSigningKey(
  generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({
    type: "pkcs8",
    format: "pem",
  }),
);

function setUp(
  user: UserInfo = { name: "admin", uid: "1", groups: ["system:masters", "system:authenticated"] },
) {
  const clock = createManualClock();
  const store = createObjectStoreFake();
  const issuer = createTokenIssuer({
    issuers: ["https://x"],
    signingKey,
    verificationKeys: [],
    clock,
  });
  const tokens = createTokenUnion([createServiceAccountAuthenticator({ issuer, store, clock })]);
  const authorization = createAuthorization({ store, builtIn: [] });
  const apiAudiences = ["https://x"];
  const handlers = [
    ...createReviewHandlers({ authorization, tokens, apiAudiences, clock }),
    createTokenRequestHandler({ store, issuer, apiAudiences, extendExpiration: true, clock }),
  ];
  const account = store.put(resourceIds.serviceAccounts, {
    metadata: { namespace: "n", name: "app" },
  });
  return { clock, store, issuer, account, caller: createSubresourceCaller(handlers, user) };
}

type Answered = KubeObject & {
  readonly spec: Record<string, unknown>;
  readonly status: Record<string, unknown>;
};

// The answers are those recorded as verbs/token-*.
test("a token request answers with audience, life and token", async () => {
  const { account, caller, issuer } = setUp();
  const answer = (await caller.create("serviceaccounts/n/app/token", { spec: {} })) as Answered;
  assert.deepEqual(answer.metadata, {
    name: "app",
    namespace: "n",
    uid: account.metadata.uid,
    creationTimestamp: "2026-01-01T00:00:00Z",
  });
  assert.deepEqual(answer.spec, {
    audiences: ["https://x"],
    expirationSeconds: 3600,
    boundObjectRef: null,
  });
  assert.equal(answer.status["expirationTimestamp"], "2026-01-01T01:00:00Z");
  assert.equal(
    issuer.verify(String(answer.status["token"]))?.["kubernetes.io"].serviceaccount.name,
    "app",
  );
});

test("a life outside the limits is refused, and a missing pod not found", async () => {
  const { caller } = setUp();
  const message = async (spec: object): Promise<string> =>
    (await caller.refusal(caller.create("serviceaccounts/n/app/token", { spec }))).message;
  assert.equal(
    await message({ expirationSeconds: 8_589_934_592 }),
    'TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: 8589934592: may not specify a duration larger than 2^32 seconds',
  );
  assert.match(
    await message({ expirationSeconds: 599 }),
    /may not specify a duration less than 10 minutes/,
  );
  assert.equal(
    await message({ boundObjectRef: { kind: "Pod", name: "nope", apiVersion: "v1" } }),
    'pods "nope" not found',
  );
});

test("a pod's token is bound to the pod and its node, and its default token lives for a year", async () => {
  const { store, caller, issuer, clock } = setUp();
  const node = store.put(resourceIds.nodes, { metadata: { name: "n1" } });
  const pod = store.put(resourceIds.pods, {
    metadata: { namespace: "n", name: "p" },
    spec: { nodeName: "n1", serviceAccountName: "app" },
  } as KubeObject);
  const boundObjectRef = { kind: "Pod", name: "p", apiVersion: "v1", uid: pod.metadata.uid };
  const answer = (await caller.create("serviceaccounts/n/app/token", {
    spec: { expirationSeconds: 3607, boundObjectRef },
  })) as Answered;
  const claims = issuer.verify(String(answer.status["token"]));
  assert.deepEqual(claims?.["kubernetes.io"].pod, { name: "p", uid: pod.metadata.uid });
  assert.deepEqual(claims?.["kubernetes.io"].node, { name: "n1", uid: node.metadata.uid });
  const nowSeconds = clock.now() / 1000;
  assert.deepEqual(
    [(claims?.exp ?? 0) - nowSeconds, (claims?.["kubernetes.io"].warnafter ?? 0) - nowSeconds],
    [365 * 86_400, 3607],
  );
  assert.equal(answer.status["expirationTimestamp"], "2026-01-01T01:00:07Z");
  const stale = { ...boundObjectRef, uid: "other" };
  assert.match(
    (
      await caller.refusal(
        caller.create("serviceaccounts/n/app/token", { spec: { boundObjectRef: stale } }),
      )
    ).message,
    /does not match the UID in record/,
  );
  store.put(resourceIds.pods, {
    metadata: { namespace: "n", name: "q" },
    spec: { serviceAccountName: "default" },
  } as KubeObject);
  assert.match(
    (
      await caller.refusal(
        caller.create("serviceaccounts/n/app/token", {
          spec: { boundObjectRef: { kind: "Pod", name: "q" } },
        }),
      )
    ).message,
    /different serviceaccount name/,
  );
});

test("a token review tells who a token is", async () => {
  const { caller } = setUp();
  const issued = (await caller.create("serviceaccounts/n/app/token", { spec: {} })) as Answered;
  const review = (await caller.create("tokenreviews.authentication.k8s.io//", {
    spec: { token: issued.status["token"] },
  })) as Answered;
  assert.equal(review.status["authenticated"], true);
  assert.equal(
    (review.status["user"] as { readonly username: string }).username,
    "system:serviceaccount:n:app",
  );
  assert.deepEqual(review.status["audiences"], ["https://x"]);
  // As recorded: verbs/tokenreview-bad, verbs/tokenreview-empty.
  const bad = (await caller.create("tokenreviews.authentication.k8s.io//", {
    spec: { token: "x" },
  })) as Answered;
  assert.deepEqual(bad.status, { user: {}, error: "invalid bearer token" });
  assert.equal(
    (await caller.refusal(caller.create("tokenreviews.authentication.k8s.io//", { spec: {} })))
      .message,
    "token is required for TokenReview in authentication",
  );
});

// The answers are those recorded as verbs/sar-*, verbs/lsar-*, verbs/ssar-*, verbs/ssrr-none and verbs/whoami-*.
test("access reviews answer for the caller and for others", async () => {
  const { caller } = setUp();
  const pods = { verb: "get", resource: "pods" };
  const status = async (path: string, spec: object): Promise<object> =>
    ((await caller.create(path, { spec })) as Answered).status;
  assert.deepEqual(
    await status("selfsubjectaccessreviews.authorization.k8s.io//", { resourceAttributes: pods }),
    { allowed: true },
  );
  assert.deepEqual(
    await status("subjectaccessreviews.authorization.k8s.io//", {
      user: "plain",
      resourceAttributes: pods,
    }),
    { allowed: false },
  );
  assert.deepEqual(
    await status("subjectaccessreviews.authorization.k8s.io//", {
      user: "u",
      groups: ["system:masters"],
      resourceAttributes: pods,
    }),
    { allowed: true },
  );
  assert.equal(
    (
      await caller.refusal(
        caller.create("subjectaccessreviews.authorization.k8s.io//", {
          spec: { resourceAttributes: pods },
        }),
      )
    ).message,
    '.authorization.k8s.io "" is invalid: spec.user: Invalid value: "": at least one of user or group must be specified',
  );
  assert.equal(
    (
      await caller.refusal(
        caller.create("localsubjectaccessreviews.authorization.k8s.io/default//", {
          spec: { user: "u", resourceAttributes: { ...pods, namespace: "z" } },
        }),
      )
    ).message,
    '.authorization.k8s.io "" is invalid: spec.resourceAttributes.namespace: Invalid value: "z": must match metadata.namespace',
  );
});

test("a caller learns its rules and its name", async () => {
  const { store, caller } = setUp({ name: "plain", groups: ["system:authenticated"] });
  store.put(resourceIds.clusterRoles, {
    metadata: { name: "r" },
    rules: [
      { verbs: ["get"], apiGroups: [""], resources: ["pods"] },
      { verbs: ["get"], nonResourceURLs: ["/x"] },
    ],
  } as KubeObject);
  store.put(resourceIds.roleBindings, {
    metadata: { namespace: "n", name: "b" },
    roleRef: { kind: "ClusterRole", name: "r" },
    subjects: [{ kind: "User", name: "plain" }],
  } as KubeObject);
  const rules = (await caller.create("selfsubjectrulesreviews.authorization.k8s.io//", {
    spec: { namespace: "n" },
  })) as Answered;
  assert.deepEqual(rules.status, {
    resourceRules: [{ verbs: ["get"], apiGroups: [""], resources: ["pods"] }],
    nonResourceRules: [{ verbs: ["get"], nonResourceURLs: ["/x"] }],
    incomplete: false,
  });
  assert.equal(
    (
      await caller.refusal(
        caller.create("selfsubjectrulesreviews.authorization.k8s.io//", { spec: {} }),
      )
    ).message,
    "no namespace on request",
  );
  const whoami = (await caller.create(
    "selfsubjectreviews.authentication.k8s.io//",
    {},
  )) as Answered;
  assert.deepEqual(
    [whoami.metadata, whoami.status],
    [
      { creationTimestamp: "2026-01-01T00:00:00Z" },
      { userInfo: { username: "plain", groups: ["system:authenticated"] } },
    ],
  );
});

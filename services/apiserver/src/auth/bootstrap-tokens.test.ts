import assert from "node:assert/strict";
import { test } from "node:test";
import type { KubeObject } from "@wherry/machinery";
import { createManualClock } from "@wherry/service-kit/testing";
import { createBootstrapTokenAuthenticator } from "./bootstrap-tokens.ts";
import { createObjectStoreFake } from "./object-store-fake.ts";
import { resourceIds } from "./resource-ids.ts";

const token = "abcdef.0123456789abcdef";

function setUp(data: Readonly<Record<string, string>> = {}) {
  const clock = createManualClock();
  const store = createObjectStoreFake();
  const all = {
    "token-id": "abcdef",
    "token-secret": "0123456789abcdef",
    "usage-bootstrap-authentication": "true",
    ...data,
  };
  const encoded = Object.fromEntries(
    Object.entries(all).map(([key, value]) => [key, Buffer.from(value).toString("base64")]),
  );
  store.put(resourceIds.secrets, {
    metadata: { namespace: "kube-system", name: "bootstrap-token-abcdef" },
    type: "bootstrap.kubernetes.io/token",
    data: encoded,
  } as KubeObject);
  return { clock, authenticator: createBootstrapTokenAuthenticator(store, clock) };
}

test("a bootstrap token is a bootstrapper with the extra groups of its secret", async () => {
  const { authenticator } = setUp({
    "auth-extra-groups": "system:bootstrappers:k3s:default-node-token",
  });
  const found = await authenticator.authenticateToken(token, ["api"]);
  assert.deepEqual(found?.user, {
    name: "system:bootstrap:abcdef",
    groups: ["system:bootstrappers", "system:bootstrappers:k3s:default-node-token"],
  });
});

test("a wrong secret, another usage, an expired token and foreign groups are nobody", async () => {
  assert.equal(
    await setUp().authenticator.authenticateToken("abcdef.0123456789abcdee", []),
    undefined,
  );
  assert.equal(
    await setUp({ "usage-bootstrap-authentication": "false" }).authenticator.authenticateToken(
      token,
      [],
    ),
    undefined,
  );
  assert.equal(
    await setUp({ expiration: "1970-01-01T00:00:00Z" }).authenticator.authenticateToken(token, []),
    undefined,
  );
  assert.equal(
    await setUp({ "auth-extra-groups": "system:masters" }).authenticator.authenticateToken(
      token,
      [],
    ),
    undefined,
  );
});

test("a token that expires later is still good", async () => {
  const { clock, authenticator } = setUp({ expiration: "2100-01-01T00:00:00Z" });
  assert.ok(clock.now() < Date.parse("2100-01-01T00:00:00Z"));
  assert.notEqual(await authenticator.authenticateToken(token, []), undefined);
});

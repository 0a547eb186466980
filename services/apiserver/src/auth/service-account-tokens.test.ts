import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { test } from "node:test";
import { createManualClock } from "@wherry/service-kit/testing";
import { createObjectStoreFake } from "./object-store-fake.ts";
import { createOpenIdDocuments } from "./openid-discovery.ts";
import { resourceIds } from "./resource-ids.ts";
import { createServiceAccountAuthenticator } from "./service-account-authenticator.ts";
import { parseSigningKey, parseVerificationKeys, type SigningKey } from "./service-account-keys.ts";
import { createTokenIssuer, type ServiceAccountClaim } from "./service-account-tokens.ts";

const pem = { type: "pkcs8", format: "pem" } as const;
const ecKey = parseSigningKey(
  generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export(pem),
);
const rsaKey = parseSigningKey(
  generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export(pem),
);
const issuerName = "https://kubernetes.default.svc.cluster.local";

function setUp(signingKey: SigningKey = ecKey) {
  const clock = createManualClock();
  const store = createObjectStoreFake();
  const account = store.put(resourceIds.serviceAccounts, {
    metadata: { namespace: "default", name: "app" },
  });
  const issuer = createTokenIssuer({
    issuers: [issuerName],
    signingKey,
    verificationKeys: [],
    clock,
  });
  const authenticator = createServiceAccountAuthenticator({ issuer, store, clock });
  const claim: ServiceAccountClaim = {
    namespace: "default",
    serviceaccount: { name: "app", uid: account.metadata.uid ?? "" },
  };
  return { clock, store, issuer, authenticator, claim };
}

for (const [name, key] of [
  ["ES256", ecKey],
  ["RS256", rsaKey],
] as const) {
  test(`a token signed with ${name} identifies its account`, async () => {
    const { issuer, authenticator, claim } = setUp(key);
    const token = issuer.issue({ account: claim, audiences: ["api"], expirationSeconds: 600 });
    assert.equal(
      JSON.parse(Buffer.from(token.split(".")[0] ?? "", "base64url").toString()).alg,
      name,
    );
    const found = await authenticator.authenticateToken(token, ["api", "k3s"]);
    assert.equal(found?.user.name, "system:serviceaccount:default:app");
    assert.equal(found?.user.uid, claim.serviceaccount.uid);
    assert.deepEqual(found?.user.groups, [
      "system:serviceaccounts",
      "system:serviceaccounts:default",
    ]);
    assert.deepEqual(found?.audiences, ["api"]);
    assert.match(
      found?.user.extra?.["authentication.kubernetes.io/credential-id"]?.[0] ?? "",
      /^JTI=[0-9a-f-]{36}$/,
    );
  });
}

test("a token of another issuer is nobody's, and one with a broken signature is refused", async () => {
  const { clock, issuer, authenticator, claim } = setUp();
  const other = createTokenIssuer({
    issuers: ["https://other"],
    signingKey: ecKey,
    verificationKeys: [],
    clock,
  });
  assert.equal(
    await authenticator.authenticateToken(
      other.issue({ account: claim, audiences: ["api"], expirationSeconds: 600 }),
      ["api"],
    ),
    undefined,
  );
  const [head, body] = issuer
    .issue({ account: claim, audiences: ["api"], expirationSeconds: 600 })
    .split(".");
  await assert.rejects(
    authenticator.authenticateToken(`${head}.${body}.${Buffer.alloc(64).toString("base64url")}`, [
      "api",
    ]),
    /invalid signature/,
  );
});

test("a token does not outlive its expiry, its audience or its account", async () => {
  const { clock, store, issuer, authenticator, claim } = setUp();
  const token = issuer.issue({ account: claim, audiences: ["api"], expirationSeconds: 600 });
  await assert.rejects(
    authenticator.authenticateToken(token, ["vault"]),
    /invalid for the target audiences/,
  );
  await clock.advance(601_000);
  await assert.rejects(authenticator.authenticateToken(token, ["api"]), /has expired/);
  const fresh = issuer.issue({ account: claim, audiences: ["api"], expirationSeconds: 600 });
  await store.delete(resourceIds.serviceAccounts, "default", "app");
  await assert.rejects(
    authenticator.authenticateToken(fresh, ["api"]),
    /service account app of the token has been deleted/,
  );
  store.put(resourceIds.serviceAccounts, {
    metadata: { namespace: "default", name: "app", uid: "another" },
  });
  await assert.rejects(
    authenticator.authenticateToken(fresh, ["api"]),
    /UID \(another\) does not match/,
  );
});

test("a bound token tells its pod and dies with it", async () => {
  const { store, issuer, authenticator, claim } = setUp();
  const pod = store.put(resourceIds.pods, { metadata: { namespace: "default", name: "p" } });
  const token = issuer.issue({
    account: {
      ...claim,
      pod: { name: "p", uid: pod.metadata.uid ?? "" },
      node: { name: "n", uid: "gone" },
    },
    audiences: ["api"],
    expirationSeconds: 600,
  });
  const found = await authenticator.authenticateToken(token, ["api"]);
  assert.deepEqual(found?.user.extra?.["authentication.kubernetes.io/pod-name"], ["p"]);
  assert.deepEqual(found?.user.extra?.["authentication.kubernetes.io/node-name"], ["n"]);
  await store.delete(resourceIds.pods, "default", "p");
  await assert.rejects(
    authenticator.authenticateToken(token, ["api"]),
    /pod p of the token has been deleted/,
  );
});

test("an older key of the file still verifies", async () => {
  const { clock, claim } = setUp();
  const old = createTokenIssuer({
    issuers: [issuerName],
    signingKey: rsaKey,
    verificationKeys: [],
    clock,
  });
  const file = rsaKey.publicKey.key.export({ type: "spki", format: "pem" });
  const rotated = createTokenIssuer({
    issuers: [issuerName],
    signingKey: ecKey,
    verificationKeys: parseVerificationKeys(file),
    clock,
  });
  assert.equal(
    rotated.verify(old.issue({ account: claim, audiences: ["api"], expirationSeconds: 600 }))?.sub,
    "system:serviceaccount:default:app",
  );
});

test("OpenID discovery names the issuer, the keys and their algorithms", () => {
  const [configuration, keys] = createOpenIdDocuments({
    issuer: issuerName,
    keys: [ecKey.publicKey, rsaKey.publicKey],
  });
  assert.deepEqual(JSON.parse(configuration?.body.toString() ?? ""), {
    issuer: issuerName,
    jwks_uri: `${issuerName}/openid/v1/jwks`,
    response_types_supported: ["id_token"],
    subject_types_supported: ["public"],
    id_token_signing_alg_values_supported: ["ES256", "RS256"],
  });
  const listed = JSON.parse(keys?.body.toString() ?? "").keys;
  assert.deepEqual(
    listed.map((key: { kid: string }) => key.kid),
    [ecKey.id, rsaKey.id],
  );
  assert.ok(listed.every((key: object) => !("d" in key)));
});

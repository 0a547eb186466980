import assert from "node:assert/strict";
import { test } from "node:test";
import { authorizationOf, formatToken, newPassword, parseToken, TokenError } from "./index.ts";

const hash = "ab".repeat(32);

test("all four token forms are read and written back", () => {
  for (const text of [
    `K10${hash}::server:secret`,
    `K10${hash}::abcdef.0123456789abcdef`,
    "justapassword",
    "abcdef.0123456789abcdef",
  ]) {
    assert.equal(formatToken(parseToken(text)), text);
  }
  assert.deepEqual(parseToken(`K10${hash}::node:a:b::c`), {
    kind: "password",
    caHash: hash,
    user: "node",
    password: "a:b::c",
  });
});

test("malformed tokens are refused without repeating the secret", () => {
  for (const text of [
    "",
    "K10abc",
    "K10zz::server:secret",
    `K10${hash}::`,
    `K10${"g".repeat(64)}::server:secret`,
  ]) {
    assert.throws(
      () => parseToken(text),
      (error: unknown) => error instanceof TokenError && !error.message.includes("secret"),
    );
  }
});

test("credentials become Basic or Bearer", () => {
  assert.equal(
    authorizationOf(parseToken("pw"), "node"),
    `Basic ${Buffer.from("node:pw").toString("base64")}`,
  );
  assert.equal(
    authorizationOf(parseToken("abcdef.0123456789abcdef"), "node"),
    "Bearer abcdef.0123456789abcdef",
  );
  assert.match(newPassword(), /^[0-9a-f]{32}$/);
});

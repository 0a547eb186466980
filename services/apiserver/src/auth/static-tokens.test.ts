import assert from "node:assert/strict";
import { test } from "node:test";
import { createStaticTokenAuthenticator, parseTokenFile } from "./static-tokens.ts";

test("a token file names user, id and quoted groups", () => {
  const tokens = parseTokenFile(
    '# comment\nsecret,admin,1,"system:masters, ops"\nother,plain,\n',
    "tokens.csv",
  );
  assert.deepEqual(tokens, [
    { token: "secret", user: { name: "admin", uid: "1", groups: ["system:masters", "ops"] } },
    { token: "other", user: { name: "plain", groups: [] } },
  ]);
});

test("a line without a user is refused with file and line", () => {
  assert.throws(
    () => parseTokenFile("only-a-token\n", "tokens.csv"),
    /tokens\.csv:1: a token line needs/,
  );
});

test("a token gives its user and an unknown one gives nobody", async () => {
  const authenticator = createStaticTokenAuthenticator([
    { token: "secret", user: { name: "admin", groups: [] } },
  ]);
  assert.equal((await authenticator.authenticateToken("secret", ["a"]))?.user.name, "admin");
  assert.equal(await authenticator.authenticateToken("secret2", ["a"]), undefined);
});

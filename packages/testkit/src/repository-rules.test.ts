import assert from "node:assert/strict";
import { test } from "node:test";
import { findBreaches, type WorkspacePackage } from "../tools/repository-breaches.ts";

const packageAt = (folder: string): WorkspacePackage => ({
  folder,
  manifest: { name: `@wherry/${folder.split("/")[1]}`, exports: { ".": "./src/index.ts" } },
  hasReadme: true,
  hasIndex: true,
});
const packages = [
  packageAt("packages/net"),
  packageAt("services/scheduler"),
  packageAt("services/launcher"),
];
const rulesFor = (path: string, text: string): string[] =>
  findBreaches(packages, [{ path, name: path.split("/").at(-1) ?? "", text }]).map(
    (breach) => breach.rule,
  );

/** Put together here, so that this file does not break the rule that it tests. */
const deep = ["@wherry", "net", "src", "b.ts"].join("/");

test("an arrow upwards, a deep import and a stray process are found", () => {
  assert.match(
    rulesFor("packages/net/src/a.ts", 'import { x } from "@wherry/scheduler";')[0] ?? "",
    /arrows point down/,
  );
  assert.match(
    rulesFor("packages/net/src/a.ts", `import { x } from "${deep}";`)[0] ?? "",
    /deep import/,
  );
  assert.match(
    rulesFor("packages/net/src/a.ts", "const home = process.env.HOME;")[0] ?? "",
    /process is touched/,
  );
  assert.match(rulesFor("packages/net/src/utils.ts", "")[0] ?? "", /named for the concept/);
});

test("what is allowed passes", () => {
  assert.deepEqual(
    rulesFor(
      "services/launcher/src/main.ts",
      'import { x } from "@wherry/scheduler";\nprocess.exit(1);',
    ),
    [],
  );
  assert.deepEqual(
    rulesFor(
      "services/scheduler/src/a.ts",
      '// process.env is not read here\nimport type { N } from "@wherry/net";',
    ),
    [],
  );
});

test("a manifest with a version of its own or a third entry is found", () => {
  const broken = {
    ...packageAt("packages/net"),
    manifest: { name: "@wherry/net", exports: { "./x": "./src/x.ts" }, dependencies: { ws: "^8" } },
    hasReadme: false,
  };
  assert.equal(findBreaches([broken], []).length, 3);
});

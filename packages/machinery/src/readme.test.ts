import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { runInThisContext } from "node:vm";
import * as machinery from "./index.ts";

test("the README's example says what it gives", () => {
  const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
  const example = /```ts\n([\s\S]*?)```/.exec(readme)?.[1] ?? "";
  const names = [...(/import \{([\s\S]*?)\}/.exec(example)?.[1] ?? "").matchAll(/\w+/g)].map(
    ([name]) => name,
  );
  for (const name of names) assert.ok(name in machinery, `${name} is exported`);
  const body = example.replace(/import [\s\S]*?;\n/, "");
  const checked = body.replace(/^([^\n]+); \/\/ (.+)$/gm, "check($1, $2);");
  assert.equal(checked.match(/check\(/g)?.length, 4);
  const source = `(machinery, check) => { const { ${names.join(", ")} } = machinery;\n${checked} }`;
  const run = runInThisContext(source) as (
    exports: object,
    check: (actual: unknown, expected: unknown) => void,
  ) => void;
  run(machinery, (actual, expected) => assert.deepEqual(actual, expected));
});

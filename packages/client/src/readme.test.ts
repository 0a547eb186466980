import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { runInThisContext } from "node:vm";
import * as serviceKit from "@wherry/service-kit";
import * as client from "./index.ts";
import * as testing from "./testing.ts";

test("the README's example prints what it says", async () => {
  const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
  const example = /```ts\n([\s\S]*?)```/.exec(readme)?.[1] ?? "";
  const expected = /console\.log\(.*\); \/\/ (.*)/.exec(example)?.[1];
  const body = example.replace(/^import (\{.*\}) from "(.*)";$/gm, 'const $1 = modules["$2"];');
  const run = runInThisContext(`(async (modules, console) => {\n${body}\n})`) as (
    modules: object,
    output: { log(text: string): void },
  ) => Promise<void>;
  const printed: string[] = [];
  const modules = {
    "@wherry/client": client,
    "@wherry/client/testing": testing,
    "@wherry/service-kit": serviceKit,
  };
  await run(modules, { log: (text) => printed.push(text) });
  assert.deepEqual(printed, [expected]);
});

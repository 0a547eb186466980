import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { runInThisContext } from "node:vm";
import * as criApi from "./index.ts";

test("the README's example prints what it says", async () => {
  const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
  const example = /```ts\n([\s\S]*?)```/.exec(readme)?.[1] ?? "";
  const expected = [...example.matchAll(/console\.log\(.*\); \/\/ (.*)/g)].map((match) => match[1]);
  const body = example.replace(
    /^import (\{.*\}) from "@wherry\/cri-api";$/gm,
    "const $1 = criApi;",
  );
  const run = runInThisContext(`(async (criApi, console) => {\n${body}\n})`) as (
    modules: object,
    output: { log(...words: readonly unknown[]): void },
  ) => Promise<void>;
  const printed: string[] = [];
  await run(criApi, { log: (...words) => printed.push(words.join(" ")) });
  assert.deepEqual(printed, expected);
});

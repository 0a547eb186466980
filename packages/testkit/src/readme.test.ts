import { test } from "node:test";
import { runReadmeExample } from "./readme-example.ts";

test("the README's example does what it says", async () => {
  await runReadmeExample(import.meta.url);
});

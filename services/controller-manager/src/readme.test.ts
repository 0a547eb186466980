import { test } from "node:test";
import { runReadmeExample } from "@wherry/testkit";

test("the README's example does what it says", async () => {
  await runReadmeExample(import.meta.url);
});

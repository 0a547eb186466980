import { it } from "node:test";
import { runReadmeExample } from "@wherry/testkit";

it("runs the README's example", async () => {
  await runReadmeExample(import.meta.url);
});

import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { it } from "node:test";
import { pathToFileURL } from "node:url";
import { resources } from "@wherry/client";
import type { MemoryApi } from "@wherry/client/testing";
import type { NodeAgent } from "./agent.ts";
import { temporaryFolder } from "./testing/temporary-folder.ts";

interface Example {
  runHollowNode(
    folder: string,
  ): Promise<{ readonly api: MemoryApi; readonly agent: NodeAgent; close(): void }>;
}

it("the README's example runs a hollow node", async (t) => {
  const folder = await temporaryFolder(t);
  const readme = await readFile(new URL("../README.md", import.meta.url), "utf8");
  const code = /```ts\n([^]*?)```/u.exec(readme)?.[1] ?? "";
  assert.ok(code.includes("createNodeAgent"));
  const resolved = code.replaceAll(
    /from "(@wherry\/[^"]+)"/gu,
    (_, name: string) =>
      `from ${JSON.stringify(name === "@wherry/node-agent" ? new URL("./index.ts", import.meta.url).href : import.meta.resolve(name))}`,
  );
  const file = join(folder, "example.ts");
  await writeFile(file, resolved);
  const example = (await import(pathToFileURL(file).href)) as Example;
  const { api, agent, close } = await example.runHollowNode(folder);
  assert.ok(api.get(resources.nodes, "hollow-1") !== undefined);
  await agent.stop(AbortSignal.timeout(5_000));
  close();
});

/** `npm run bench -- NAME [--json FILE]`: one benchmark of e2e/bench; it prints a table and, with --json, a flat list of metrics. */
import { spawnSync } from "node:child_process";
import { existsSync, globSync } from "node:fs";
import { basename } from "node:path";

const [name, ...rest] = process.argv.slice(2);
const file = `e2e/bench/${name}.ts`;
if (name === undefined || name === "report" || !existsSync(file)) {
  const names = globSync("e2e/bench/*.ts")
    .map((one) => basename(one, ".ts"))
    .filter((one) => one !== "report")
    .sort();
  console.error(`usage: npm run bench -- NAME [--json FILE]; benchmarks: ${names.join(" ")}`);
  process.exit(2);
}
process.exit(spawnSync(process.execPath, [file, ...rest], { stdio: "inherit" }).status ?? 1);

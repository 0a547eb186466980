/** The rules of the house as a program. Prints each breach as `file: rule` and fails when there is one. */
import { globSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { findBreaches, type SourceFile, type WorkspacePackage } from "./repository-breaches.ts";

const packages: WorkspacePackage[] = globSync([
  "packages/*/package.json",
  "services/*/package.json",
  "e2e/package.json",
]).map((manifest) => {
  const content = JSON.parse(readFileSync(manifest, "utf8")) as WorkspacePackage["manifest"];
  const folder = dirname(manifest);
  return {
    folder,
    manifest: content,
    hasReadme: globSync(join(folder, "README.md")).length === 1,
    hasIndex: globSync(join(folder, "src/index.ts")).length === 1,
  };
});
const files: SourceFile[] = globSync(
  ["{packages,services,e2e}/**/*.{ts,js,mjs,md,json}", "*.{md,json,yaml}", ".ci/*"],
  {
    exclude: (path) => /(^|\/)(node_modules|dist|\.report|\.turbo)$/.test(path),
  },
)
  .filter((path) => !/(^|\/)(node_modules|dist|\.report|\.turbo)\//.test(path))
  .map((path) => ({ path, name: basename(path), text: readFileSync(path, "utf8") }));

const breaches = findBreaches(packages, files);
for (const breach of breaches) console.error(`${breach.path}: ${breach.rule}`);
if (breaches.length > 0) process.exit(1);

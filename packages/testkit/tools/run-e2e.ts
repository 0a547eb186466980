/**
 * `npm run e2e [-- SUITE …] [-- --size small|medium|soak]`: the suites under e2e/suites, one after the other, against the product from outside. Prints what was
 * skipped by name; the last line is `N passed, N failed, N skipped`.
 */
import { spawnSync } from "node:child_process";
import { globSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { basename } from "node:path";
import { parseArgs } from "node:util";
import { TEST_PACKAGES } from "../src/debian-packages.ts";
import { installPackages } from "../src/install-packages.ts";
import type { TestSummary } from "./summary-reporter.ts";

const { values, positionals } = parseArgs({
  options: { size: { type: "string", default: process.env["WHERRY_TEST_SIZE"] ?? "small" } },
  allowPositionals: true,
});
const size = positionals.includes("soak") ? "soak" : values.size;
const names = positionals.filter((name) => name !== "soak");
const all = globSync("e2e/suites/*.test.ts").sort();
const suites = names.length === 0 ? all : names.map((name) => `e2e/suites/${name}.test.ts`);
const unknown = suites.filter((suite) => !all.includes(suite));
if (unknown.length > 0 || !["small", "medium", "soak"].includes(size)) {
  console.error(
    `usage: npm run e2e [-- SUITE …] [--size small|medium|soak]; suites: ${all.map((file) => basename(file, ".test.ts")).join(" ")}`,
  );
  process.exit(2);
}
const install = installPackages(TEST_PACKAGES);
if (install.missing.length > 0)
  console.error(
    `not installed: ${install.missing.join(" ")} (${install.reason}); the suites that need them are skipped`,
  );

// Two runs at the same time must not read each other's.
const report = `e2e/.report/e2e-${process.pid}.json`;
mkdirSync("e2e/.report", { recursive: true });
let passed = 0;
let failed = 0;
let skipped = 0;
for (const suite of suites) {
  rmSync(report, { force: true });
  const beganMs = performance.now();
  spawnSync(
    process.execPath,
    [
      "--test",
      "--test-concurrency=1",
      "--test-timeout=900000",
      "--test-reporter=spec",
      "--test-reporter-destination=stdout",
      `--test-reporter=${new URL("./summary-reporter.ts", import.meta.url).href}`,
      `--test-reporter-destination=${report}`,
      suite,
    ],
    { stdio: "inherit", env: { ...process.env, WHERRY_TEST_SIZE: size } },
  );
  const summary = JSON.parse(readFileSync(report, "utf8")) as TestSummary;
  passed += summary.passed;
  failed += summary.failed;
  skipped += summary.skipped.length;
  for (const one of summary.skipped)
    console.log(
      `skipped: ${basename(suite)}: ${one.name}${one.reason === "" ? "" : ` (${one.reason})`}`,
    );
  for (const name of summary.failures) console.log(`failed: ${basename(suite)}: ${name}`);
  if (summary.passed + summary.failed + summary.skipped.length === 0) {
    console.log(`failed: ${basename(suite)}: ran no test`);
    failed += 1;
  }
  console.log(
    `${basename(suite, ".test.ts")}: ${Math.round((performance.now() - beganMs) / 1000)} s`,
  );
}
rmSync(report, { force: true });
console.log(`size ${size}`);
console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
process.exit(failed === 0 ? 0 : 1);

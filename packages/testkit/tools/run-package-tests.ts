/**
 * `npm test` in a package: runs its tests with node:test, leaves the counts in `.report/tests.json`, and fails where nothing was run. Arguments
 * are passed on to node (`npm test -- --test-name-pattern=watch`).
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import type { TestSummary } from "./summary-reporter.ts";

const report = ".report/tests.json";
mkdirSync(".report", { recursive: true });
rmSync(report, { force: true });
const reporter = new URL("./summary-reporter.ts", import.meta.url).href;
const { status } = spawnSync(
  process.execPath,
  [
    "--test",
    "--test-concurrency=2",
    "--test-timeout=120000",
    "--test-reporter=dot",
    "--test-reporter-destination=stdout",
    `--test-reporter=${reporter}`,
    `--test-reporter-destination=${report}`,
    ...process.argv.slice(2),
    "src/**/*.test.ts",
  ],
  { stdio: "inherit" },
);
const summary = JSON.parse(readFileSync(report, "utf8")) as TestSummary;
if (status === 0 && summary.passed === 0) {
  console.error("no test was run");
  process.exit(1);
}
process.exit(status ?? 1);

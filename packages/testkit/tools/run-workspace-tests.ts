/**
 * `npm test`: everything that a change must pass. Installs what the tests need from Debian (as root), runs type check, lint, repository rules and every
 * package's tests through turbo, sums the counts, and names what was skipped. The last line is `N passed, N failed, N skipped`.
 */
import { spawnSync } from "node:child_process";
import { globSync, readFileSync } from "node:fs";
import { dirname } from "node:path";
import { installedVersions, TEST_PACKAGES } from "../src/debian-packages.ts";
import { installPackages } from "../src/install-packages.ts";
import type { TestSummary } from "./summary-reporter.ts";

const size = process.env["WHERRY_TEST_SIZE"] ?? "small";
const install = installPackages(TEST_PACKAGES);
if (install.missing.length > 0) {
  console.error(
    `not installed: ${install.missing.join(" ")} (${install.reason}); the tests that need them are skipped`,
  );
}
const { status } = spawnSync(
  "npx",
  [
    "--prefer-offline",
    "-y",
    "pnpm@12.21.0",
    "exec",
    "turbo",
    "run",
    "check",
    "lint",
    "rules",
    "test",
    "--continue",
    "--output-logs=errors-only",
    ...process.argv.slice(2),
  ],
  {
    stdio: "inherit",
    env: {
      ...process.env,
      TURBO_TELEMETRY_DISABLED: "1",
      DO_NOT_TRACK: "1",
      WHERRY_TEST_SIZE: size,
      // A cached result holds only for the same user and the same servers.
      WHERRY_TEST_FINGERPRINT: `uid=${process.getuid?.()} ${installedVersions(TEST_PACKAGES)}`,
    },
  },
);

let passed = 0;
let failed = 0;
let skipped = 0;
for (const manifest of globSync("{packages,services}/*/package.json")) {
  const folder = dirname(manifest);
  let summary: TestSummary;
  try {
    summary = JSON.parse(readFileSync(`${folder}/.report/tests.json`, "utf8")) as TestSummary;
  } catch {
    console.error(`${folder}: no test report`);
    failed += 1;
    continue;
  }
  passed += summary.passed;
  failed += summary.failed;
  skipped += summary.skipped.length;
  for (const name of summary.failures) console.log(`failed: ${folder}: ${name}`);
  for (const one of summary.skipped)
    console.log(`skipped: ${folder}: ${one.name}${one.reason === "" ? "" : ` (${one.reason})`}`);
}
if (status !== 0 && failed === 0) {
  console.error("type check, lint or repository rules failed; see above");
  failed += 1;
}
console.log(`size ${size}`);
console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
process.exit(failed === 0 ? 0 : 1);

// Runs under whatever Node started npm (20 and later), before the project's own Node 26 is known to work.
import { execFileSync, spawnSync } from "node:child_process";

const wanted = "v26.10.0";
const node = "node_modules/.bin/node";

function version() {
  return spawnSync(node, ["--version"], { encoding: "utf8" });
}

let result = version();
if (result.status !== 0 && /libatomic/.test(result.stderr ?? "")) {
  if (process.getuid?.() !== 0)
    fail(
      "Node 26 needs the library libatomic1. Install it (Debian: apt-get install libatomic1) and run this again.",
    );
  console.error("installing libatomic1, which Node 26 needs");
  execFileSync("apt-get", ["update", "-qq"], { stdio: "inherit" });
  execFileSync("apt-get", ["install", "-y", "-qq", "--no-install-recommends", "libatomic1"], {
    stdio: "inherit",
  });
  result = version();
}
if (result.error?.code === "ENOENT")
  fail(
    `there is no Node 26 for ${process.platform}-${process.arch}: linux on x64 and arm64 are supported.`,
  );
if (result.status !== 0) fail(`${node} does not run: ${(result.stderr ?? "").trim()}`);
if (result.stdout.trim() !== wanted)
  fail(
    `${node} is ${result.stdout.trim()}, expected ${wanted}; remove node_modules and run this again.`,
  );

function fail(message) {
  console.error(`error: ${message}`);
  process.exit(1);
}

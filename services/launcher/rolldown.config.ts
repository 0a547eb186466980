import { fileURLToPath } from "node:url";
import { defineConfig } from "rolldown";

const source = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/**
 * The production bundle: one file for the command and one for each worker or child process, side by side, where `workerFile` looks for them. The
 * only thing left outside is the native SQLite driver.
 */
export default defineConfig({
  input: {
    wherry: source("src/main.ts"),
    "x509-worker": source("../../packages/pki/src/x509-worker.ts"),
    "sqlite-writer": source("../datastore/src/log/sqlite-writer.ts"),
    "dns-main": source("../node-agent/src/dns-main.ts"),
  },
  platform: "node",
  external: ["better-sqlite3"],
  output: {
    dir: source("dist"),
    format: "esm",
    minify: true,
    entryFileNames: "[name].js",
    chunkFileNames: "chunk-[name]-[hash].js",
    cleanDir: true,
  },
});

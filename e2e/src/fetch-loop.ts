import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Machine } from "@wherry/testkit";

/** What one fetch of the loop came to. */
export interface Fetched {
  readonly atMs: number;
  readonly ok: boolean;
  /** The page, or what wget said. */
  readonly text: string;
}

/** Longer than the C library's resolver takes for its own second try (5 s), which is allowed to hide a lost question. */
const FETCH_TIMEOUT_S = 12;

/**
 * A pod that resolves and fetches `url` about ten times a second and writes each result to its log. `timeout` stands around wget because the -T of Debian's
 * busybox crashes.
 */
export function fetchLoopPod(name: string, url: string): string {
  const script = `while :; do if page=$(timeout ${FETCH_TIMEOUT_S} wget -qO- ${url} 2>&1); then echo "ok $page"; else echo "failed with $?: $page"; fi; sleep 0.07; done`;
  return JSON.stringify({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, labels: { app: name } },
    spec: {
      terminationGracePeriodSeconds: 1,
      containers: [
        { name: "loop", image: "wherry.local/busybox:1", command: ["sh", "-c", script] },
      ],
    },
  });
}

/** Reads the loop's log on its node, without the API. */
export async function readFetches(node: Machine, pod: string): Promise<Fetched[]> {
  const logs = join(node.folder, "private/var/log/pods");
  const folder = (await readdir(logs)).find((one) => one.startsWith(`default_${pod}_`));
  if (folder === undefined) return [];
  const text = await readFile(join(logs, folder, "loop/0.log"), "utf8");
  // "2026-11-20T10:00:00.123456789Z stdout F ok busybox:1 on web-…"
  return [...text.matchAll(/^(\S+) stdout F (ok|failed) (.*)$/gm)].map(
    ([, at = "", outcome, rest = ""]) => ({
      atMs: Date.parse(at),
      ok: outcome === "ok",
      text: rest,
    }),
  );
}

/** The longest time without a result. */
export function longestGapMs(fetches: readonly Fetched[]): number {
  return fetches
    .slice(1)
    .reduce(
      (longest, one, index) => Math.max(longest, one.atMs - (fetches[index]?.atMs ?? one.atMs)),
      0,
    );
}

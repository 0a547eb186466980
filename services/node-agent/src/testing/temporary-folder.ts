import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import type { Mounter } from "../volumes/mounter.ts";

/** A folder that is gone after the test, with what was mounted in it by `mounter`. */
export async function temporaryFolder(t: TestContext, mounter?: Mounter): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "wherry-node-agent-"));
  t.after(async () => {
    for (const point of (await mounter?.mountsBelow(folder)) ?? []) await mounter?.unmount(point);
    await rm(folder, { recursive: true, force: true });
  });
  return folder;
}

/** Reason to skip a test that needs root; false: it can run. */
export const needsRoot: string | false = userInfo().uid === 0 ? false : "needs root";

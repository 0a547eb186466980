import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { buildSampleImage } from "@wherry/launcher";
import { extractDebianPackage } from "@wherry/testkit";

/** Puts `wherry.local/busybox:1` and `:2`, made of Debian's busybox-static, where a node imports images from. False where the package cannot be had. */
export async function placeSampleImages(dataDir: string): Promise<boolean> {
  const unpacked = await extractDebianPackage("busybox-static");
  if (unpacked === undefined) return false;
  const folder = join(dataDir, "agent", "images");
  await mkdir(folder, { recursive: true });
  const architecture = process.arch === "arm64" ? "arm64" : "amd64";
  for (const tag of ["1", "2"]) {
    const image = await buildSampleImage({
      busybox: join(unpacked, busyboxPath),
      tag,
      architecture,
    });
    await writeFile(join(folder, `busybox-${tag}.tar`), image);
  }
  return true;
}

const busyboxPath = "bin/busybox";

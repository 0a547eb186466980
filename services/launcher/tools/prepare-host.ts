/**
 * What `npm start` does before the server: as root it installs what running containers needs from Debian, and puts the sample images
 * `wherry.local/busybox:1` and `:2` where the node imports images from. Without root, or where the archive cannot be reached, it says what is missing.
 */
import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { buildSampleImage } from "../src/sample-images.ts";
import { extractDebianPackage, installPackages, NODE_PACKAGES } from "@wherry/testkit";

const args = process.argv.slice(2);
const named = args.findIndex((arg) => arg === "--data-dir" || arg === "-d");
const dataDir =
  (named < 0
    ? args.find((arg) => arg.startsWith("--data-dir="))?.slice("--data-dir=".length)
    : args[named + 1]) ?? "/var/lib/wherry";

if (process.getuid?.() === 0) {
  const { missing, reason } = installPackages(NODE_PACKAGES);
  if (missing.length > 0) console.error(`could not install ${missing.join(" ")}: ${reason}`);
  await placeImages(join(dataDir, "agent", "images"));
}

async function placeImages(folder: string): Promise<void> {
  const wanted = ["1", "2"].filter((tag) => !existsSync(join(folder, `busybox-${tag}.tar`)));
  if (wanted.length === 0) return;
  const unpacked = await extractDebianPackage("busybox-static");
  if (unpacked === undefined) {
    console.error("the sample images cannot be built: Debian's busybox-static is out of reach");
    return;
  }
  await mkdir(folder, { recursive: true });
  for (const tag of wanted) {
    const image = await buildSampleImage({
      busybox: join(unpacked, "bin/busybox"),
      tag,
      architecture: process.arch === "arm64" ? "arm64" : "amd64",
    });
    await writeFile(join(folder, `busybox-${tag}.tar`), image);
  }
}

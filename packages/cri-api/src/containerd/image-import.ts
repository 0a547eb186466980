import { randomBytes } from "node:crypto";
import { readArchive, scanArchive } from "../oci/archive.ts";
import type { Descriptor } from "../oci/image-spec.ts";
import { planImport, type ImportPlan, type PlannedBlob } from "../oci/import-plan.ts";
import { RuntimeError } from "../runtime.ts";
import { writeBlob } from "./content-writer.ts";
import type { GrpcChannel } from "./grpc-channel.ts";
import type { ContainerdImage, NativeClient } from "./native-client.ts";

/** The CRI plugin takes images with the first label for its own; the second keeps image garbage collection away (2.x; 1.6 ignores it). */
const IMAGE_LABELS = { "io.cri-containerd.image": "managed", "io.cri-containerd.pinned": "pinned" };
/** A lease that its owner could not delete ends by itself. */
const LEASE_MS = 3600_000;

/**
 * Imports an archive in two passes: the first finds out what it holds, the second streams the blobs into the content store under a lease, so
 * that the garbage collector leaves them alone until the image names them. Images that are there already are not read again.
 */
export async function importImageArchive(
  channel: GrpcChannel,
  native: NativeClient,
  file: string,
): Promise<readonly string[]> {
  const plan = planImport(file, await scanArchive(file));
  const missing: ImportPlan["images"][number][] = [];
  for (const image of plan.images) {
    if (!(await isPresent(native, image.reference, image.target))) missing.push(image);
  }
  if (missing.length > 0) {
    await withLease(native, async (lease) => {
      await writeBlobs(channel, native, lease, file, plan);
      for (const image of missing) await nameImage(native, lease, image.reference, image.target);
    });
  }
  return plan.images.map((image) => image.reference);
}

async function isPresent(
  native: NativeClient,
  reference: string,
  target: Descriptor,
): Promise<boolean> {
  try {
    const { image } = (await native.call("imageGet", { name: reference })) as {
      readonly image?: ContainerdImage;
    };
    const labelled = Object.entries(IMAGE_LABELS).every(
      ([name, value]) => image?.labels?.[name] === value,
    );
    return labelled && image?.target.digest === target.digest;
  } catch (error) {
    if (error instanceof RuntimeError && error.code === "notFound") return false;
    throw error;
  }
}

async function withLease(
  native: NativeClient,
  action: (lease: string) => Promise<void>,
): Promise<void> {
  const id = `wherry-import-${randomBytes(8).toString("hex")}`;
  const expires = new Date(Date.now() + LEASE_MS).toISOString();
  await native.call("leaseCreate", { id, labels: { "containerd.io/gc.expire": expires } });
  try {
    await action(id);
  } finally {
    await native.call("leaseDelete", { id });
  }
}

async function writeBlobs(
  channel: GrpcChannel,
  native: NativeClient,
  lease: string,
  file: string,
  plan: ImportPlan,
): Promise<void> {
  const byEntry = new Map<string, PlannedBlob>();
  for (const blob of plan.blobs.values()) {
    if (blob.source.kind === "bytes")
      await writeBlob(channel, native, lease, blob, onlyChunk(blob.source.bytes));
    else byEntry.set(blob.source.name, blob);
  }
  await readArchive(file, async (name, content, _size, linkTo) => {
    const blob = byEntry.get(name);
    if (blob === undefined || linkTo !== undefined) return;
    byEntry.delete(name);
    await writeBlob(channel, native, lease, blob, content);
  });
  const [lost] = byEntry.keys();
  if (lost !== undefined)
    throw new RuntimeError(
      "invalidArgument",
      `${file} changed while it was imported: ${lost} is gone`,
    );
}

async function nameImage(
  native: NativeClient,
  lease: string,
  reference: string,
  target: Descriptor,
): Promise<void> {
  const image: ContainerdImage = {
    name: reference,
    labels: IMAGE_LABELS,
    target: { media_type: target.mediaType, digest: target.digest, size: target.size },
  };
  try {
    await native.call("imageCreate", { image }, lease);
  } catch (error) {
    if (!(error instanceof RuntimeError) || error.code !== "alreadyExists") throw error;
    await native.call("imageUpdate", { image }, lease);
  }
}

async function* onlyChunk(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes;
}

import { statfs } from "node:fs/promises";
import { PAUSE_IMAGE_REFERENCE } from "@wherry/cri-api";
import type { ContainerRuntime, Image } from "@wherry/cri-api";
import type { Clock, Logger } from "@wherry/service-kit";

export interface ImageCollectionLimits {
  /** Use of the file system in percent at which images are removed. */
  readonly highPercent: number;
  /** Use to get down to. */
  readonly lowPercent: number;
  readonly minAgeMs: number;
}

export interface ImageUse {
  readonly image: Image;
  readonly firstSeenMs: number;
  readonly lastUsedMs: number;
}

/** The images to remove, least recently used first, until `bytesToFree` are met. Those in use, pinned or too young stay, and so does the sandbox image: containerd 1.6 does not tell that it is pinned. */
export function chooseImages(
  images: readonly ImageUse[],
  inUse: ReadonlySet<string>,
  bytesToFree: number,
  nowMs: number,
  minAgeMs: number,
): readonly Image[] {
  const candidates = images
    .filter(
      ({ image, firstSeenMs }) =>
        !image.pinned &&
        !image.repoTags.includes(PAUSE_IMAGE_REFERENCE) &&
        !inUse.has(image.id) &&
        nowMs - firstSeenMs >= minAgeMs,
    )
    .toSorted((a, b) => a.lastUsedMs - b.lastUsedMs || a.firstSeenMs - b.firstSeenMs);
  const chosen: Image[] = [];
  let freed = 0;
  for (const { image } of candidates) {
    if (freed >= bytesToFree) break;
    chosen.push(image);
    freed += image.size;
  }
  return chosen;
}

/** Bytes to free to get from the high to the low threshold; 0: use is below the high one. */
export function bytesOverThreshold(
  capacityBytes: number,
  availableBytes: number,
  limits: Pick<ImageCollectionLimits, "highPercent" | "lowPercent">,
): number {
  if (capacityBytes <= 0) return 0;
  const usedPercent = 100 - Math.floor((availableBytes * 100) / capacityBytes);
  if (usedPercent < limits.highPercent) return 0;
  return Math.max((capacityBytes * (100 - limits.lowPercent)) / 100 - availableBytes, 0);
}

export interface ImageCollector {
  markUsed(imageRef: string): void;
  /** Looks once, and removes images when the file system is too full. */
  collect(): Promise<void>;
}

export interface ImageCollectorDeps {
  readonly runtime: ContainerRuntime;
  readonly clock: Clock;
  readonly log: Logger;
  readonly onFailure: (message: string) => void;
}

export function createImageCollector(
  limits: ImageCollectionLimits,
  deps: ImageCollectorDeps,
): ImageCollector {
  const { runtime, clock, log } = deps;
  const seen = new Map<string, { readonly firstSeenMs: number; lastUsedMs: number }>();

  const take = (id: string): { readonly firstSeenMs: number; lastUsedMs: number } => {
    const entry = seen.get(id) ?? { firstSeenMs: clock.now(), lastUsedMs: 0 };
    seen.set(id, entry);
    return entry;
  };

  const look = async (): Promise<{
    readonly images: readonly ImageUse[];
    readonly inUse: ReadonlySet<string>;
  }> => {
    const [images, containers] = await Promise.all([
      runtime.listImages(),
      runtime.listContainers(),
    ]);
    const inUse = new Set(containers.flatMap((one) => [one.image, one.imageRef]));
    for (const image of images) {
      const names = [image.id, ...image.repoTags, ...image.repoDigests];
      if (!names.some((name) => inUse.has(name))) continue;
      inUse.add(image.id);
      take(image.id).lastUsedMs = clock.now();
    }
    for (const id of seen.keys()) if (!images.some((one) => one.id === id)) seen.delete(id);
    return { images: images.map((image) => ({ image, ...take(image.id) })), inUse };
  };

  return {
    markUsed(imageRef) {
      take(imageRef).lastUsedMs = clock.now();
    },
    async collect() {
      const { images, inUse } = await look();
      const { mountpoint } = await runtime.imageFsInfo();
      const fs = await statfs(mountpoint).catch(() => undefined);
      if (fs === undefined) return;
      const bytes = bytesOverThreshold(fs.blocks * fs.bsize, fs.bavail * fs.bsize, limits);
      if (bytes === 0) return;
      let freed = 0;
      for (const image of chooseImages(images, inUse, bytes, clock.now(), limits.minAgeMs)) {
        await runtime.removeImage(image.id);
        freed += image.size;
        log.info(
          { image: image.repoTags[0] ?? image.id, bytes: image.size },
          "removed an unused image",
        );
      }
      if (freed < bytes)
        deps.onFailure(
          `Failed to garbage collect required amount of images. Attempted to free ${Math.ceil(bytes)} bytes, but only found ${freed} bytes eligible to free.`,
        );
    },
  };
}

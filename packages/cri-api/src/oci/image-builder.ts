import { createHash } from "node:crypto";
import { MEDIA_TYPE, type Descriptor } from "./image-spec.ts";
import { buildTar, type TarFile } from "./tar-writer.ts";

export interface OciImageConfig {
  readonly entrypoint?: readonly string[];
  readonly cmd?: readonly string[];
  readonly env?: readonly string[];
  readonly workingDir?: string;
  readonly user?: string;
  readonly exposedPorts?: readonly string[];
  readonly labels?: Readonly<Record<string, string>>;
}

export interface OciPlatform {
  /** In Go's names: amd64, arm64, arm, riscv64 … */
  readonly architecture: string;
  readonly variant?: string;
}

export interface OciPlatformImage {
  readonly platform: OciPlatform;
  /** One layer holds them all, in this order. */
  readonly files: readonly TarFile[];
  readonly config: OciImageConfig;
}

export interface OciImage {
  /** Name that the image gets when imported, e.g. `wherry.local/busybox:1`. */
  readonly reference: string;
  readonly files: readonly TarFile[];
  readonly config: OciImageConfig;
  readonly platform: OciPlatform;
}

/** An OCI layout as a tar, ready for import: same input, same bytes. */
export function buildOciImage(image: OciImage): Promise<Buffer> {
  return buildOciIndex(image.reference, [
    { platform: image.platform, files: image.files, config: image.config },
  ]);
}

/** One reference for several platforms. */
export async function buildOciIndex(
  reference: string,
  images: readonly OciPlatformImage[],
): Promise<Buffer> {
  const blobs = new Map<string, Buffer>();
  const put = (content: Buffer, mediaType: string): Descriptor => {
    const digest = `sha256:${createHash("sha256").update(content).digest("hex")}`;
    blobs.set(digest, content);
    return { mediaType, digest, size: content.length };
  };
  const manifests: Descriptor[] = [];
  for (const image of images) {
    const platform = { ...image.platform, os: "linux" };
    const layer = put(await buildTar(image.files), MEDIA_TYPE.ociLayer);
    const config = put(
      jsonBytes({
        ...platform,
        config: dockerConfig(image.config),
        rootfs: { type: "layers", diff_ids: [layer.digest] },
      }),
      MEDIA_TYPE.ociConfig,
    );
    const manifest = put(
      jsonBytes({ schemaVersion: 2, mediaType: MEDIA_TYPE.ociManifest, config, layers: [layer] }),
      MEDIA_TYPE.ociManifest,
    );
    manifests.push({ ...manifest, platform });
  }
  const index = put(
    jsonBytes({ schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests }),
    MEDIA_TYPE.ociIndex,
  );
  const annotations = {
    "io.containerd.image.name": reference,
    "org.opencontainers.image.ref.name": reference.slice(reference.lastIndexOf(":") + 1),
  };
  const top = jsonBytes({ schemaVersion: 2, manifests: [{ ...index, annotations }] });
  return buildTar([
    { path: "oci-layout", content: '{"imageLayoutVersion":"1.0.0"}' },
    { path: "index.json", content: top },
    ...[...blobs].map(([digest, content]) => ({
      path: `blobs/${digest.replace(":", "/")}`,
      content,
    })),
  ]);
}

function dockerConfig(config: OciImageConfig): Record<string, unknown> {
  return {
    ...(config.user === undefined ? {} : { User: config.user }),
    ...(config.exposedPorts === undefined
      ? {}
      : { ExposedPorts: Object.fromEntries(config.exposedPorts.map((port) => [port, {}])) }),
    ...(config.env === undefined ? {} : { Env: config.env }),
    ...(config.entrypoint === undefined ? {} : { Entrypoint: config.entrypoint }),
    ...(config.cmd === undefined ? {} : { Cmd: config.cmd }),
    ...(config.workingDir === undefined ? {} : { WorkingDir: config.workingDir }),
    ...(config.labels === undefined ? {} : { Labels: config.labels }),
  };
}

function jsonBytes(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}

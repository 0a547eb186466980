import { createHash } from "node:crypto";
import { RuntimeError } from "../runtime.ts";
import type { ArchiveListing } from "./archive.ts";
import {
  MEDIA_TYPE,
  isIndex,
  isManifest,
  normalizeReference,
  type Descriptor,
  type DockerSaveEntry,
  type ImageIndex,
  type ImageManifest,
} from "./image-spec.ts";

export interface PlannedBlob {
  readonly digest: string;
  readonly size: number;
  /** containerd's garbage collector follows these from a manifest to what it consists of. */
  readonly labels: Readonly<Record<string, string>>;
  /** Where the bytes come from: a file of the archive, or made here. */
  readonly source:
    | { readonly kind: "entry"; readonly name: string }
    | { readonly kind: "bytes"; readonly bytes: Buffer };
}

export interface ImportPlan {
  readonly images: readonly { readonly reference: string; readonly target: Descriptor }[];
  /** By digest. */
  readonly blobs: ReadonlyMap<string, PlannedBlob>;
}

const NAME_ANNOTATION = "io.containerd.image.name";
const REF_NAME_ANNOTATION = "org.opencontainers.image.ref.name";
const GC_LABEL = "containerd.io/gc.ref.content";

/** What to write into the content store for the images of an OCI layout or of `docker save`. Throws `RuntimeError` when it holds none or lacks parts. */
export function planImport(file: string, listing: ArchiveListing): ImportPlan {
  const planner = createPlanner(file, listing);
  const index = planner.document("index.json") as ImageIndex | undefined;
  for (const descriptor of index?.manifests ?? []) {
    const reference = referenceOf(descriptor);
    if (reference !== undefined) planner.addImage(reference, planner.addDescriptor(descriptor));
  }
  if (planner.images.length === 0) {
    for (const entry of (planner.document("manifest.json") as
      | readonly DockerSaveEntry[]
      | undefined) ?? []) {
      if ((entry.RepoTags ?? []).length === 0) continue;
      const target = planner.addDockerSave(entry);
      for (const tag of entry.RepoTags ?? []) planner.addImage(normalizeReference(tag), target);
    }
  }
  if (planner.images.length === 0) {
    throw new RuntimeError(
      "invalidArgument",
      `${file} holds no named image: it needs an index.json whose manifests carry the annotation ${NAME_ANNOTATION}, or docker save's manifest.json with RepoTags`,
    );
  }
  return planner;
}

function referenceOf(descriptor: Descriptor): string | undefined {
  const name = descriptor.annotations?.[NAME_ANNOTATION];
  if (name !== undefined) return normalizeReference(name);
  const refName = descriptor.annotations?.[REF_NAME_ANNOTATION];
  return refName !== undefined && /[/:]/.test(refName) ? normalizeReference(refName) : undefined;
}

interface Planner extends ImportPlan {
  /** The JSON document of that name, which the caller knows the form of. */
  document(name: string): unknown;
  addImage(reference: string, target: Descriptor): void;
  addDescriptor(descriptor: Descriptor): Descriptor;
  addDockerSave(entry: DockerSaveEntry): Descriptor;
}

function createPlanner(file: string, listing: ArchiveListing): Planner {
  const images: { reference: string; target: Descriptor }[] = [];
  const blobs = new Map<string, PlannedBlob>();

  const incomplete = (what: string): RuntimeError =>
    new RuntimeError("invalidArgument", `${file} is incomplete: ${what} is missing`);
  const nameOf = (digest: string): string => `blobs/${digest.replace(":", "/")}`;

  const document = (name: string): unknown => {
    const bytes = listing.get(name)?.document;
    if (bytes === undefined) return undefined;
    try {
      return JSON.parse(bytes.toString("utf8"));
    } catch (error) {
      throw new RuntimeError("invalidArgument", `${file}: ${name} is not valid JSON`, {
        cause: error,
      });
    }
  };

  const addBlob = (
    digest: string,
    name: string,
    labels: Readonly<Record<string, string>> = {},
  ): void => {
    const entry = listing.get(name);
    if (entry === undefined) throw incomplete(name);
    blobs.set(digest, { digest, size: entry.size, labels, source: { kind: "entry", name } });
  };

  const addManifest = (descriptor: Descriptor): void => {
    const name = nameOf(descriptor.digest);
    const manifest = document(name) as ImageManifest | undefined;
    if (manifest === undefined) throw incomplete(name);
    const labels: Record<string, string> = { [`${GC_LABEL}.config`]: manifest.config.digest };
    addBlob(manifest.config.digest, nameOf(manifest.config.digest));
    manifest.layers.forEach((layer, index) => {
      labels[`${GC_LABEL}.l.${index}`] = layer.digest;
      addBlob(layer.digest, nameOf(layer.digest));
    });
    addBlob(descriptor.digest, name, labels);
  };

  /** An index may name platforms that the archive does not hold; at least one must be there. */
  const addIndex = (descriptor: Descriptor): void => {
    const name = nameOf(descriptor.digest);
    const index = document(name) as ImageIndex | undefined;
    if (index === undefined) throw incomplete(name);
    const labels: Record<string, string> = {};
    index.manifests.forEach((child, position) => {
      if (!listing.has(nameOf(child.digest))) return;
      labels[`${GC_LABEL}.m.${position}`] = child.digest;
      addDescriptor(child);
    });
    if (Object.keys(labels).length === 0)
      throw incomplete(`every manifest of the index ${descriptor.digest}`);
    addBlob(descriptor.digest, name, labels);
  };

  const addDescriptor = (descriptor: Descriptor): Descriptor => {
    if (isIndex(descriptor.mediaType)) addIndex(descriptor);
    else if (isManifest(descriptor.mediaType)) addManifest(descriptor);
    else
      throw new RuntimeError(
        "invalidArgument",
        `${file}: ${descriptor.digest} has the unknown media type ${descriptor.mediaType}`,
      );
    return descriptor;
  };

  return {
    images,
    blobs,
    document,
    addDescriptor,
    addImage: (reference, target) => {
      images.push({ reference, target });
    },
    /** `docker save` has no manifest in today's sense, so one is made. */
    addDockerSave(entry) {
      const describe = (name: string, mediaType: (gzip: boolean) => string): Descriptor => {
        const found = listing.get(name);
        if (found === undefined) throw incomplete(name);
        addBlob(found.digest, name);
        return { mediaType: mediaType(found.gzip), digest: found.digest, size: found.size };
      };
      const config = describe(entry.Config, () => MEDIA_TYPE.ociConfig);
      const layers = entry.Layers.map((name) =>
        describe(name, (gzip) => (gzip ? MEDIA_TYPE.ociLayerGzip : MEDIA_TYPE.ociLayer)),
      );
      const bytes = Buffer.from(
        JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPE.ociManifest, config, layers }),
      );
      const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
      const labels: Record<string, string> = { [`${GC_LABEL}.config`]: config.digest };
      layers.forEach((layer, index) => {
        labels[`${GC_LABEL}.l.${index}`] = layer.digest;
      });
      blobs.set(digest, { digest, size: bytes.length, labels, source: { kind: "bytes", bytes } });
      return { mediaType: MEDIA_TYPE.ociManifest, digest, size: bytes.length };
    },
  };
}

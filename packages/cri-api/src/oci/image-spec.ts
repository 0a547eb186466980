/** The parts of the OCI image specification (and Docker's older twin) that import and build need. */
export const MEDIA_TYPE = {
  ociIndex: "application/vnd.oci.image.index.v1+json",
  ociManifest: "application/vnd.oci.image.manifest.v1+json",
  ociConfig: "application/vnd.oci.image.config.v1+json",
  ociLayer: "application/vnd.oci.image.layer.v1.tar",
  ociLayerGzip: "application/vnd.oci.image.layer.v1.tar+gzip",
  dockerList: "application/vnd.docker.distribution.manifest.list.v2+json",
  dockerManifest: "application/vnd.docker.distribution.manifest.v2+json",
} as const;

export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly platform?: {
    readonly architecture: string;
    readonly os: string;
    readonly variant?: string;
  };
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface ImageIndex {
  readonly manifests: readonly Descriptor[];
}

export interface ImageManifest {
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
}

/** One element of docker-save's `manifest.json`. */
export interface DockerSaveEntry {
  readonly Config: string;
  readonly RepoTags: readonly string[] | null;
  readonly Layers: readonly string[];
}

export function isIndex(mediaType: string): boolean {
  return mediaType === MEDIA_TYPE.ociIndex || mediaType === MEDIA_TYPE.dockerList;
}

export function isManifest(mediaType: string): boolean {
  return mediaType === MEDIA_TYPE.ociManifest || mediaType === MEDIA_TYPE.dockerManifest;
}

const DEFAULT_REGISTRY = "docker.io";

/**
 * The full form that containerd stores: `busybox` is `docker.io/library/busybox:latest`. A first part is a registry when it holds a dot or a
 * colon or is `localhost`, as Docker decides it.
 */
export function normalizeReference(reference: string): string {
  const slash = reference.indexOf("/");
  const first = slash === -1 ? "" : reference.slice(0, slash);
  const hasRegistry = first === "localhost" || first.includes(".") || first.includes(":");
  const registry = hasRegistry ? first : DEFAULT_REGISTRY;
  let path = hasRegistry ? reference.slice(slash + 1) : reference;
  if (registry === DEFAULT_REGISTRY && !path.includes("/")) path = `library/${path}`;
  const name = path.slice(path.lastIndexOf("/") + 1);
  return `${registry}/${path}${name.includes(":") || name.includes("@") ? "" : ":latest"}`;
}

export interface ImageReference {
  /** With registry and, for Docker Hub, `library/`: `docker.io/library/busybox`. */
  readonly repository: string;
  readonly tag: string | undefined;
  readonly digest: string | undefined;
}

export class ImageReferenceError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "ImageReferenceError";
  }
}

const referencePattern =
  /^(?:(?<domain>(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))*(?::[0-9]+)?|\[[a-fA-F0-9:]+\](?::[0-9]+)?)\/)?(?<path>[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*)(?::(?<tag>[\w][\w.-]{0,127}))?(?:@(?<digest>[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}))?$/u;

/** Reads a reference as Docker and containerd do: the first part is a registry when it holds a dot, a colon, or is `localhost`. */
export function parseImageReference(image: string): ImageReference {
  const problem = (): ImageReferenceError =>
    new ImageReferenceError(`couldn't parse image name "${image}": invalid reference format`);
  if (image.length > 500) throw problem();
  const slash = image.indexOf("/");
  const first = slash < 0 ? "" : image.slice(0, slash);
  const hasDomain = /[.:]/u.test(first) || first === "localhost" || first !== first.toLowerCase();
  const full = hasDomain ? image : `docker.io/${slash < 0 ? "library/" : ""}${image}`;
  const groups = referencePattern.exec(full)?.groups;
  if (groups?.["path"] === undefined || groups["domain"] === undefined) throw problem();
  const domain = groups["domain"] === "index.docker.io" ? "docker.io" : groups["domain"];
  const path =
    domain === "docker.io" && !groups["path"].includes("/")
      ? `library/${groups["path"]}`
      : groups["path"];
  return { repository: `${domain}/${path}`, tag: groups["tag"], digest: groups["digest"] };
}

/** Adds `:latest` to a reference with neither tag nor digest; leaves its name as the user wrote it. */
export function applyDefaultTag(image: string): string {
  const { tag, digest } = parseImageReference(image);
  return tag === undefined && digest === undefined ? `${image}:latest` : image;
}

import type { ConfigMap, Pod, Secret } from "@wherry/machinery";
import { resolveFieldRef, resolveResourceFieldRef } from "../pods/field-reference.ts";
import type { PodFacts } from "../pods/field-reference.ts";
import { allContainers, podSpec } from "../pods/pod-types.ts";
import type { VolumeSpec } from "../pods/pod-types.ts";
import type { Payload, PayloadFile } from "./atomic-writer.ts";
import { VolumeError } from "./volume-error.ts";

export interface PayloadSources {
  readonly configMap: (name: string) => Promise<ConfigMap | undefined>;
  readonly secret: (name: string) => Promise<Secret | undefined>;
  readonly token: (source: TokenSource) => Promise<string>;
  readonly facts: () => PodFacts;
}

export interface TokenSource {
  readonly path: string;
  readonly audience?: string;
  readonly expirationSeconds?: number;
}

const defaultMode = 0o644;

/** The files of a configMap, secret, downwardAPI or projected volume; undefined for any other kind. */
export async function volumePayload(
  pod: Pod,
  volume: VolumeSpec,
  sources: PayloadSources,
): Promise<Payload | undefined> {
  const files = new Map<string, PayloadFile>();
  if (volume.configMap !== undefined) {
    const { name, items, optional } = volume.configMap;
    addKeys(files, configMapData(await sources.configMap(name ?? "")), {
      kind: "configmap",
      name: name ?? "",
      items,
      optional,
      mode: volume.configMap.defaultMode ?? defaultMode,
    });
    return files;
  }
  if (volume.secret !== undefined) {
    const { secretName, items, optional } = volume.secret;
    addKeys(files, secretData(await sources.secret(secretName ?? "")), {
      kind: "secret",
      name: secretName ?? "",
      items,
      optional,
      mode: volume.secret.defaultMode ?? defaultMode,
    });
    return files;
  }
  if (volume.downwardAPI !== undefined) {
    addDownward(
      files,
      pod,
      volume.downwardAPI.items ?? [],
      volume.downwardAPI.defaultMode ?? defaultMode,
      sources.facts(),
    );
    return files;
  }
  if (volume.projected !== undefined) {
    for (const source of volume.projected.sources ?? [])
      await addSource(files, pod, source, volume.projected.defaultMode ?? defaultMode, sources);
    return files;
  }
  return undefined;
}

type ProjectedSource = NonNullable<NonNullable<VolumeSpec["projected"]>["sources"]>[number];

async function addSource(
  files: Map<string, PayloadFile>,
  pod: Pod,
  source: ProjectedSource,
  mode: number,
  sources: PayloadSources,
): Promise<void> {
  if (source.configMap !== undefined) {
    const { name, items, optional } = source.configMap;
    addKeys(files, configMapData(await sources.configMap(name ?? "")), {
      kind: "configmap",
      name: name ?? "",
      items,
      optional,
      mode,
    });
  } else if (source.secret !== undefined) {
    const { name, items, optional } = source.secret;
    addKeys(files, secretData(await sources.secret(name ?? "")), {
      kind: "secret",
      name: name ?? "",
      items,
      optional,
      mode,
    });
  } else if (source.downwardAPI !== undefined) {
    addDownward(files, pod, source.downwardAPI.items ?? [], mode, sources.facts());
  } else if (source.serviceAccountToken !== undefined) {
    const uid = commonUser(pod);
    const restricted = uid !== undefined || podSpec(pod).securityContext?.fsGroup !== undefined;
    const token = await sources.token(source.serviceAccountToken);
    files.set(source.serviceAccountToken.path, {
      data: Buffer.from(token),
      mode: restricted ? 0o600 : mode,
      uid,
    });
  } else {
    throw new VolumeError(
      "unsupported",
      `projected source ${Object.keys(source).join(", ")} is not supported by this version`,
    );
  }
}

/** The one user that all containers run as, who then owns the token. */
function commonUser(pod: Pod): number | undefined {
  const whole = podSpec(pod).securityContext?.runAsUser;
  const users = new Set(
    allContainers(pod).map((one) => one.spec.securityContext?.runAsUser ?? whole),
  );
  return users.size === 1 ? [...users][0] : undefined;
}

function configMapData(map: ConfigMap | undefined): ReadonlyMap<string, Uint8Array> | undefined {
  if (map === undefined) return undefined;
  const texts = Object.entries(map.data ?? {}).map(([key, value]): [string, Uint8Array] => [
    key,
    Buffer.from(value),
  ]);
  const binaries = Object.entries(map.binaryData ?? {}).map(
    ([key, value]): [string, Uint8Array] => [key, Buffer.from(value, "base64")],
  );
  return new Map([...texts, ...binaries]);
}

function secretData(secret: Secret | undefined): ReadonlyMap<string, Uint8Array> | undefined {
  if (secret === undefined) return undefined;
  return new Map(
    Object.entries(secret.data ?? {}).map(([key, value]): [string, Uint8Array] => [
      key,
      Buffer.from(value, "base64"),
    ]),
  );
}

interface KeySelection {
  readonly kind: "configmap" | "secret";
  readonly name: string;
  readonly items:
    | readonly { readonly key: string; readonly path: string; readonly mode?: number }[]
    | undefined;
  readonly optional: boolean | undefined;
  readonly mode: number;
}

function addKeys(
  files: Map<string, PayloadFile>,
  data: ReadonlyMap<string, Uint8Array> | undefined,
  selection: KeySelection,
): void {
  const { kind, name, items, mode } = selection;
  const optional = selection.optional === true;
  if (data === undefined) {
    if (optional) return;
    throw new VolumeError("missing", `${kind} "${name}" not found`);
  }
  if (items === undefined || items.length === 0) {
    for (const [key, bytes] of data) files.set(key, { data: bytes, mode });
    return;
  }
  for (const item of items) {
    const bytes = data.get(item.key);
    if (bytes !== undefined) files.set(item.path, { data: bytes, mode: item.mode ?? mode });
    else if (!optional)
      throw new VolumeError(
        "missing",
        kind === "configmap"
          ? `configmap references non-existent config key: ${item.key}`
          : `references non-existent secret key: ${item.key}`,
      );
  }
}

type DownwardItem = NonNullable<NonNullable<VolumeSpec["downwardAPI"]>["items"]>[number];

function addDownward(
  files: Map<string, PayloadFile>,
  pod: Pod,
  items: readonly DownwardItem[],
  mode: number,
  facts: PodFacts,
): void {
  for (const item of items) {
    const text =
      item.fieldRef === undefined
        ? item.resourceFieldRef === undefined
          ? ""
          : resolveResourceFieldRef(pod, item.resourceFieldRef, undefined, facts)
        : resolveFieldRef(pod, item.fieldRef.fieldPath, facts);
    files.set(item.path, { data: Buffer.from(text), mode: item.mode ?? mode });
  }
}

import type { ConfigMap, Pod, Secret } from "@wherry/machinery";
import { expandVariables } from "./expansion.ts";
import { resolveFieldRef, resolveResourceFieldRef } from "./field-reference.ts";
import type { PodFacts } from "./field-reference.ts";
import type { ContainerSpec, EnvVar } from "./pod-types.ts";

/** Something a container's configuration names is missing: CreateContainerConfigError, tried again when it appears. */
export class ContainerConfigError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "ContainerConfigError";
  }
}

export interface EnvironmentSources {
  readonly configMap: (name: string) => Promise<ConfigMap | undefined>;
  readonly secret: (name: string) => Promise<Secret | undefined>;
  readonly services: ReadonlyMap<string, string>;
  readonly facts: PodFacts;
}

export type Environment = readonly { readonly key: string; readonly value: string }[];

/** The container's environment: envFrom, then env (later entries win and may refer to earlier ones), then service variables not yet set. */
export async function containerEnvironment(
  pod: Pod,
  container: ContainerSpec,
  sources: EnvironmentSources,
): Promise<Environment> {
  const result = new Map<string, string>();
  for (const from of container.envFrom ?? []) {
    const entries = await entriesFrom(from, sources);
    for (const [key, value] of entries) {
      const name = `${from.prefix ?? ""}${key}`;
      if (name !== "" && !name.includes("=")) result.set(name, value);
    }
  }
  for (const variable of container.env ?? []) {
    const value = await valueOf(
      pod,
      container,
      variable,
      sources,
      (name) => result.get(name) ?? sources.services.get(name),
    );
    if (value !== undefined) {
      // Re-inserted, so that a name set again moves to its later place, where what it refers to is defined.
      result.delete(variable.name);
      result.set(variable.name, value);
    }
  }
  for (const [key, value] of sources.services) {
    if (!result.has(key)) result.set(key, value);
  }
  return [...result].map(([key, value]) => ({ key, value }));
}

type EnvFrom = NonNullable<ContainerSpec["envFrom"]>[number];

async function entriesFrom(
  from: EnvFrom,
  sources: EnvironmentSources,
): Promise<readonly [string, string][]> {
  if (from.configMapRef !== undefined) {
    const name = from.configMapRef.name ?? "";
    const map = await sources.configMap(name);
    if (map === undefined && from.configMapRef.optional !== true)
      throw new ContainerConfigError(`configmap "${name}" not found`);
    return Object.entries(map?.data ?? {}).filter(
      (entry): entry is [string, string] => typeof entry[1] === "string",
    );
  }
  if (from.secretRef !== undefined) {
    const name = from.secretRef.name ?? "";
    const secret = await sources.secret(name);
    if (secret === undefined && from.secretRef.optional !== true)
      throw new ContainerConfigError(`secret "${name}" not found`);
    return Object.entries(secret?.data ?? {}).map(([key, value]) => [key, decode(value)]);
  }
  return [];
}

async function valueOf(
  pod: Pod,
  container: ContainerSpec,
  variable: EnvVar,
  sources: EnvironmentSources,
  lookup: (name: string) => string | undefined,
): Promise<string | undefined> {
  const from = variable.valueFrom;
  if (from === undefined || from === null) return expandVariables(variable.value ?? "", lookup);
  if (from.fieldRef !== undefined)
    return resolveFieldRef(pod, from.fieldRef.fieldPath, sources.facts);
  if (from.resourceFieldRef !== undefined)
    return resolveResourceFieldRef(pod, from.resourceFieldRef, container, sources.facts);
  const namespace = pod.metadata.namespace ?? "";
  if (from.configMapKeyRef !== undefined) {
    const { name = "", key, optional } = from.configMapKeyRef;
    const map = await sources.configMap(name);
    const value =
      map?.data?.[key] ??
      (map?.binaryData?.[key] === undefined ? undefined : decode(map.binaryData[key]));
    if (value !== undefined) return value;
    if (optional === true) return undefined;
    throw new ContainerConfigError(
      map === undefined
        ? `configmap "${name}" not found`
        : `couldn't find key ${key} in ConfigMap ${namespace}/${name}`,
    );
  }
  if (from.secretKeyRef !== undefined) {
    const { name = "", key, optional } = from.secretKeyRef;
    const secret = await sources.secret(name);
    const value = secret?.data?.[key];
    if (value !== undefined) return decode(value);
    if (optional === true) return undefined;
    throw new ContainerConfigError(
      secret === undefined
        ? `secret "${name}" not found`
        : `couldn't find key ${key} in Secret ${namespace}/${name}`,
    );
  }
  throw new ContainerConfigError(
    `environment variable ${variable.name} has a source that this version does not support: ${Object.keys(from).join(", ")}`,
  );
}

function decode(base64: string): string {
  return Buffer.from(base64, "base64").toString("utf8");
}

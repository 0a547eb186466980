import type { AuthConfig } from "@wherry/cri-api";
import type { Secret } from "@wherry/machinery";
import { parseImageReference } from "./image-reference.ts";

interface DockerAuth {
  readonly username?: string;
  readonly password?: string;
  readonly auth?: string;
  readonly identitytoken?: string;
  readonly registrytoken?: string;
}

/**
 * Credentials for pulling `image` out of a pod's pull secrets, the most specific registry path first. A secret that cannot be read is
 * passed over: another one, or an anonymous pull, may do.
 */
export function credentialsFor(image: string, secrets: readonly Secret[]): readonly AuthConfig[] {
  const { repository } = parseImageReference(image);
  const found: { readonly key: string; readonly auth: AuthConfig }[] = [];
  for (const secret of secrets) {
    for (const [registry, auth] of Object.entries(authsOf(secret))) {
      const key = registryKey(registry);
      if (matchesRegistry(key, repository)) found.push({ key, auth: authConfig(registry, auth) });
    }
  }
  return found.toSorted((a, b) => b.key.length - a.key.length).map((one) => one.auth);
}

function authsOf(secret: Secret): Readonly<Record<string, DockerAuth>> {
  const config = decodeJson(secret.data?.[".dockerconfigjson"]);
  const legacy = decodeJson(secret.data?.[".dockercfg"]);
  const auths =
    (config as { readonly auths?: Record<string, DockerAuth> } | undefined)?.auths ??
    (legacy as Record<string, DockerAuth> | undefined);
  return auths ?? {};
}

function decodeJson(base64: string | undefined): unknown {
  if (base64 === undefined) return undefined;
  try {
    return JSON.parse(Buffer.from(base64, "base64").toString("utf8"));
  } catch {
    return undefined; // A broken secret counts as absent; the pull's own error tells the user.
  }
}

/** `https://index.docker.io/v1/` and the like become the registry path that references carry. */
function registryKey(registry: string): string {
  const bare = registry
    .replace(/^https?:\/\//u, "")
    .replace(/\/v[12]\/?$/u, "")
    .replace(/\/+$/u, "");
  return bare.replace(/^(?:index\.|registry-1\.)?docker\.io/u, "docker.io");
}

/** Same host (labels may be `*`) and, when the key has a path, a prefix of the repository's. */
function matchesRegistry(key: string, repository: string): boolean {
  const [keyHost = "", ...keyPath] = key.split("/");
  const [host = "", ...path] = repository.split("/");
  const keyLabels = keyHost.split(".");
  const labels = host.split(".");
  if (keyLabels.length !== labels.length) return false;
  const hostMatches = keyLabels.every((label, index) => globMatches(label, labels[index] ?? ""));
  return hostMatches && keyPath.every((part, index) => part === path[index]);
}

function globMatches(pattern: string, text: string): boolean {
  if (!pattern.includes("*")) return pattern === text;
  const escaped = pattern.split("*").map((part) => part.replace(/[.*+?^${}()|[\]\\]/gu, "\\$&"));
  return new RegExp(`^${escaped.join(".*")}$`, "u").test(text);
}

function authConfig(serverAddress: string, auth: DockerAuth): AuthConfig {
  const decoded =
    auth.auth === undefined ? undefined : Buffer.from(auth.auth, "base64").toString("utf8");
  const colon = decoded?.indexOf(":") ?? -1;
  const username =
    auth.username ?? (decoded !== undefined && colon >= 0 ? decoded.slice(0, colon) : undefined);
  const password =
    auth.password ?? (decoded !== undefined && colon >= 0 ? decoded.slice(colon + 1) : undefined);
  return {
    serverAddress,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(auth.identitytoken === undefined ? {} : { identityToken: auth.identitytoken }),
    ...(auth.registrytoken === undefined ? {} : { registryToken: auth.registrytoken }),
  };
}

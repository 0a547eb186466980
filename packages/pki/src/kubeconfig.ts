import { readFile } from "node:fs/promises";
import { dirname, isAbsolute, join } from "node:path";

export interface KubeconfigParts {
  readonly server: string;
  readonly caPem: string;
  readonly certPem?: string;
  readonly keyPem?: string;
  readonly token?: string;
}

/** A kubeconfig with one cluster, user and context, all named `default`, everything inlined, as K3s writes it. */
export function buildKubeconfig(parts: KubeconfigParts): string {
  const base64 = (text: string): string => Buffer.from(text).toString("base64");
  const user = [
    ...(parts.certPem === undefined
      ? []
      : [`    client-certificate-data: ${base64(parts.certPem)}`]),
    ...(parts.keyPem === undefined ? [] : [`    client-key-data: ${base64(parts.keyPem)}`]),
    ...(parts.token === undefined ? [] : [`    token: ${JSON.stringify(parts.token)}`]),
  ];
  return [
    "apiVersion: v1",
    "clusters:",
    "- cluster:",
    `    certificate-authority-data: ${base64(parts.caPem)}`,
    `    server: ${parts.server}`,
    "  name: default",
    "contexts:",
    "- context:",
    "    cluster: default",
    "    user: default",
    "  name: default",
    "current-context: default",
    "kind: Config",
    "preferences: {}",
    "users:",
    "- name: default",
    ...(user.length === 0 ? ["  user: {}"] : ["  user:", ...user]),
    "",
  ].join("\n");
}

export class KubeconfigError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "KubeconfigError";
  }
}

/** What a client needs of a kubeconfig's current context. File references are read; exec plugins are refused. */
export interface KubeconfigAccess {
  readonly server: string;
  readonly caPem?: string;
  readonly insecureSkipTlsVerify: boolean;
  readonly tlsServerName?: string;
  readonly certPem?: string;
  readonly keyPem?: string;
  readonly token?: string;
  readonly tokenFile?: string;
}

type Named<Key extends string> = ReadonlyArray<
  { readonly name?: string } & { readonly [K in Key]?: Readonly<Record<string, unknown>> }
>;

/** Throws KubeconfigError naming the file and the part that is missing or cannot be read. */
export async function loadKubeconfig(file: string): Promise<KubeconfigAccess> {
  const document = await readDocument(file);
  const contextName = document["current-context"];
  if (typeof contextName !== "string" || contextName === "")
    throw new KubeconfigError(`kubeconfig ${file} has no current-context`);
  const context = entry(document, "contexts", "context", contextName, file);
  const cluster = entry(document, "clusters", "cluster", text(context["cluster"]) ?? "", file);
  const user = entry(document, "users", "user", text(context["user"]) ?? "", file);
  const server = text(cluster["server"]);
  if (server === undefined)
    throw new KubeconfigError(`kubeconfig ${file}: the cluster has no server URL`);
  for (const refused of ["exec", "auth-provider", "username", "password"]) {
    if (user[refused] !== undefined)
      throw new KubeconfigError(
        `kubeconfig ${file}: the user's "${refused}" is not supported; use certificates or a token`,
      );
  }
  const value = (
    map: Readonly<Record<string, unknown>>,
    key: string,
  ): Promise<string | undefined> => inlineOrFile(map, key, file);
  const [caPem, certPem, keyPem] = await Promise.all([
    value(cluster, "certificate-authority"),
    value(user, "client-certificate"),
    value(user, "client-key"),
  ]);
  const token = text(user["token"]);
  const tokenFile = text(user["tokenFile"]);
  const tlsServerName = text(cluster["tls-server-name"]);
  return {
    server,
    insecureSkipTlsVerify: cluster["insecure-skip-tls-verify"] === true,
    ...(caPem === undefined ? {} : { caPem }),
    ...(certPem === undefined ? {} : { certPem }),
    ...(keyPem === undefined ? {} : { keyPem }),
    ...(token === undefined ? {} : { token }),
    ...(tokenFile === undefined ? {} : { tokenFile }),
    ...(tlsServerName === undefined ? {} : { tlsServerName }),
  };
}

async function readDocument(file: string): Promise<Readonly<Record<string, unknown>>> {
  const { load } = await import("js-yaml");
  let content: string;
  try {
    content = await readFile(file, "utf8");
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? "unknown error";
    throw new KubeconfigError(
      `kubeconfig ${file} cannot be read (${code}); check the path and its permissions`,
      { cause: error },
    );
  }
  try {
    const document = load(content);
    if (typeof document !== "object" || document === null || Array.isArray(document))
      throw new Error("it is not a map");
    return document as Record<string, unknown>;
  } catch (error) {
    throw new KubeconfigError(
      `kubeconfig ${file} is not valid YAML: ${(error as Error).message.split("\n")[0]}`,
      { cause: error },
    );
  }
}

function entry(
  document: Readonly<Record<string, unknown>>,
  list: string,
  key: string,
  name: string,
  file: string,
): Readonly<Record<string, unknown>> {
  const entries = document[list];
  const found = Array.isArray(entries)
    ? (entries as Named<string>).find((one) => one.name === name)
    : undefined;
  const value = found?.[key];
  if (found === undefined)
    throw new KubeconfigError(`kubeconfig ${file}: ${list} has no entry named "${name}"`);
  return value ?? {};
}

async function inlineOrFile(
  map: Readonly<Record<string, unknown>>,
  key: string,
  kubeconfig: string,
): Promise<string | undefined> {
  const data = text(map[`${key}-data`]);
  if (data !== undefined) return Buffer.from(data, "base64").toString();
  const path = text(map[key]);
  if (path === undefined) return undefined;
  const file = isAbsolute(path) ? path : join(dirname(kubeconfig), path);
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    throw new KubeconfigError(
      `kubeconfig ${kubeconfig}: ${key} ${file} cannot be read (${(error as NodeJS.ErrnoException).code})`,
      { cause: error },
    );
  }
}

function text(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

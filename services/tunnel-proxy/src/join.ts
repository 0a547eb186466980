/**
 * The agent's way into a cluster (K3s' join protocol): trust the CA that the token pins, then get the node's certificates for keys that never leave the
 * machine.
 */
import { request, type RequestOptions } from "node:https";
import { mkdir, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import {
  authorizationOf,
  buildKubeconfig,
  caHash,
  createCertificateRequest,
  isUsable,
  newPassword,
  parseToken,
  readPair,
  writeFileAtomic,
  writePair,
  writeSecret,
  type JoinToken,
  type KeyPair,
} from "@wherry/pki";
import type { Clock, Logger } from "@wherry/service-kit";

export interface JoinOptions {
  /** "https://server:6443" */
  readonly serverUrl: string;
  /** undefined: only what is on disk from an earlier join is used. */
  readonly token: string | undefined;
  readonly nodeName: string;
  readonly nodeIps: readonly string[];
  /** `<data-dir>/agent` */
  readonly agentDir: string;
  /** `/etc/wherry/node/password` */
  readonly passwordFile: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** The server's settings that must hold on every node, by the names of K3s' control struct. */
export interface ClusterSettings {
  readonly clusterCidr: string;
  readonly serviceCidr: string;
  readonly clusterDns: string;
  readonly clusterDomain: string;
  readonly flannelBackend: string;
  readonly disableKubeProxy: boolean;
  readonly disableDns: boolean;
}

export interface JoinedCluster {
  readonly serverUrl: string;
  readonly serverCaPem: string;
  readonly clientCaPem: string;
  readonly clientKubelet: KeyPair;
  readonly servingKubelet: KeyPair;
  readonly kubeconfigFile: string;
  readonly settings: ClusterSettings;
}

export type JoinErrorCode =
  | "url"
  | "token"
  | "unreachable"
  | "untrusted"
  | "unauthorized"
  | "passwordRejected"
  | "refused";

export class JoinError extends Error {
  readonly code: JoinErrorCode;

  constructor(code: JoinErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "JoinError";
    this.code = code;
  }
}

const REQUEST_TIMEOUT_MS = 10_000;
const RETRY_FIRST_MS = 500;
const RETRY_MAX_MS = 5_000;
const RENEW_BEFORE_MS = 90 * 86_400_000;
const ANSWER_MAX_BYTES = 1024 * 1024;

/**
 * Waits for the server (with back-off, until the signal aborts), then joins. What cannot get better by waiting (wrong token, wrong CA, rejected
 * password) ends it at once with a JoinError that says what to do.
 */
export async function joinCluster(options: JoinOptions): Promise<JoinedCluster> {
  const url = parseServerUrl(options.serverUrl);
  const token = parseJoinToken(options.token);
  for (let delayMs = RETRY_FIRST_MS; ; delayMs = Math.min(delayMs * 2, RETRY_MAX_MS)) {
    try {
      return await tryJoin(url, token, options);
    } catch (error) {
      if (!(error instanceof JoinError) || error.code !== "unreachable") throw error;
      options.log.warn(
        { url: options.serverUrl, err: error },
        "Waiting to retrieve agent configuration; server is not ready",
      );
      await options.clock.sleep(delayMs, options.signal);
    }
  }
}

function parseServerUrl(text: string): URL {
  let url: URL;
  try {
    url = new URL(text);
  } catch (error) {
    throw new JoinError("url", `--server "${text}" is not a URL; it looks like https://HOST:6443`, {
      cause: error,
    });
  }
  if (url.protocol !== "https:")
    throw new JoinError("url", `--server must begin with https://, not ${url.protocol}//`);
  return url;
}

function parseJoinToken(text: string | undefined): JoinToken {
  if (text === undefined || text.trim() === "")
    throw new JoinError(
      "token",
      "--token is required: it stands in <data-dir>/server/node-token on the server",
    );
  try {
    return parseToken(text);
  } catch (error) {
    throw new JoinError("token", `--token: ${(error as Error).message}`, { cause: error });
  }
}

async function tryJoin(url: URL, token: JoinToken, options: JoinOptions): Promise<JoinedCluster> {
  const serverCaPem = await fetchTrustedCa(url, token, options);
  const authorization = authorizationOf(token, "node");
  const call = (
    method: "GET" | "POST",
    path: string,
    headers: Readonly<Record<string, string>> = {},
    body?: Uint8Array,
  ): Promise<Answer> =>
    exchange(url, path, { method, ca: serverCaPem, headers: { authorization, ...headers } }, body);
  const get = async (path: string): Promise<string> =>
    bodyOf(await call("GET", path), path, options);

  const settings = settingsOf(JSON.parse(await get("/v1-k3s/config")) as Record<string, unknown>);
  const clientCaPem = await get("/v1-k3s/client-ca.crt");
  const password = await nodePassword(options.passwordFile);
  const headers = {
    "k3s-node-name": options.nodeName,
    "k3s-node-password": password,
    "k3s-node-ip": options.nodeIps.join(","),
    "content-type": "application/octet-stream",
  };
  const certify = async (
    name: "client-kubelet" | "serving-kubelet",
    issuerPem: string,
  ): Promise<KeyPair> => {
    const base = join(options.agentDir, name);
    const existing = await readPair(base);
    if (
      existing !== undefined &&
      name === "client-kubelet" &&
      isUsable(existing, options.clock.now(), RENEW_BEFORE_MS) &&
      existing.certPem.includes(issuerPem.trim())
    )
      return existing;
    const csr = await createCertificateRequest(
      {
        subject: { commonName: `system:node:${options.nodeName}`, organizations: ["system:nodes"] },
      },
      existing?.keyPem,
    );
    const certPem = bodyOf(
      await call("POST", `/v1-k3s/${name}.crt`, headers, csr.csrDer),
      name,
      options,
    );
    const pair = { certPem, keyPem: csr.keyPem };
    await writePair(base, pair);
    return pair;
  };
  const [clientKubelet, servingKubelet] = await Promise.all([
    certify("client-kubelet", clientCaPem),
    certify("serving-kubelet", serverCaPem),
  ]);
  await writeFileAtomic(join(options.agentDir, "server-ca.crt"), serverCaPem, 0o644);
  await writeFileAtomic(join(options.agentDir, "client-ca.crt"), clientCaPem, 0o644);
  const kubeconfigFile = join(options.agentDir, "kubelet.kubeconfig");
  await writeSecret(
    kubeconfigFile,
    buildKubeconfig({
      server: url.origin,
      caPem: serverCaPem,
      certPem: clientKubelet.certPem,
      keyPem: clientKubelet.keyPem,
    }),
  );
  return {
    serverUrl: url.origin,
    serverCaPem,
    clientCaPem,
    clientKubelet,
    servingKubelet,
    kubeconfigFile,
    settings,
  };
}

/** GET /cacerts without verification, checked against the token's hash, then once more with the returned bundle as the only root. */
async function fetchTrustedCa(url: URL, token: JoinToken, options: JoinOptions): Promise<string> {
  const pem = bodyOf(
    await exchange(url, "/cacerts", { method: "GET", rejectUnauthorized: false }),
    "/cacerts",
    options,
  );
  if (token.caHash === undefined) {
    options.log.warn(
      "Cluster CA certificate is not trusted by the host CA bundle, but the token does not include a CA hash. Use the full token from the server's node-token file to enable Cluster CA validation.",
    );
  } else if (caHash(pem) !== token.caHash) {
    throw new JoinError(
      "untrusted",
      `token CA hash does not match the Cluster CA certificate hash: ${token.caHash} != ${caHash(pem)}; take the token from this cluster's <data-dir>/server/node-token`,
    );
  }
  try {
    await exchange(url, "/ping", { method: "GET", ca: pem });
  } catch (error) {
    throw new JoinError(
      "untrusted",
      `the certificate of ${url.host} does not chain to the CA that it offers: ${(error as Error).message}`,
      { cause: error },
    );
  }
  return pem;
}

interface Answer {
  readonly status: number;
  readonly body: string;
}

function exchange(
  url: URL,
  path: string,
  options: RequestOptions,
  body?: Uint8Array,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = request(
      new URL(path, url),
      { ...options, timeout: REQUEST_TIMEOUT_MS, agent: false },
      (response) => {
        const chunks: Buffer[] = [];
        let size = 0;
        response.on("data", (chunk: Buffer) => {
          size += chunk.length;
          if (size > ANSWER_MAX_BYTES) response.destroy(new Error("the answer is too long"));
          else chunks.push(chunk);
        });
        response.on("end", () =>
          resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() }),
        );
        response.on("error", reject);
      },
    );
    outgoing.on("timeout", () => outgoing.destroy(new Error("timed out")));
    outgoing.on("error", (error) =>
      reject(
        new JoinError("unreachable", `${url.host} cannot be reached: ${error.message}`, {
          cause: error,
        }),
      ),
    );
    outgoing.end(body);
  });
}

function bodyOf(answer: Answer, what: string, options: JoinOptions): string {
  if (answer.status === 200) return answer.body;
  const message = messageOf(answer.body);
  if (answer.status === 401) {
    throw new JoinError(
      "unauthorized",
      `the server does not accept the token (${message}); take it from <data-dir>/server/node-token on the server`,
    );
  }
  if (answer.status === 403 && /password/.test(message)) {
    throw new JoinError(
      "passwordRejected",
      `Node password rejected, duplicate hostname or contents of '${options.passwordFile}' may not match server node-passwd entry, try enabling a unique node name with the --with-node-id flag`,
    );
  }
  if (answer.status === 429 || answer.status >= 500)
    throw new JoinError("unreachable", `${what}: ${message}`);
  throw new JoinError("refused", `${what}: the server answered ${answer.status}: ${message}`);
}

function messageOf(body: string): string {
  try {
    const { message } = JSON.parse(body) as { readonly message?: string };
    return message ?? body;
  } catch {
    // Not every answer is a Status.
    return body.slice(0, 200);
  }
}

/** The node's own password, made at its first join and kept: it proves later that the same machine asks for the same name. */
async function nodePassword(file: string): Promise<string> {
  try {
    const text = (await readFile(file, "utf8")).trim();
    if (text !== "") return text;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT")
      throw new Error(`node password ${file} cannot be read: ${(error as Error).message}`, {
        cause: error,
      });
  }
  const password = newPassword();
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  await writeSecret(file, `${password}\n`);
  return password;
}

function settingsOf(config: Readonly<Record<string, unknown>>): ClusterSettings {
  const cidr = (key: string): string => {
    const value = config[key] as { readonly IP?: string; readonly Mask?: string } | undefined;
    const mask = Buffer.from(value?.Mask ?? "", "base64");
    const bits = [...mask].reduce(
      (sum, byte) => sum + byte.toString(2).replaceAll("0", "").length,
      0,
    );
    return `${value?.IP ?? "0.0.0.0"}/${bits}`;
  };
  return {
    clusterCidr: cidr("ClusterIPRange"),
    serviceCidr: cidr("ServiceIPRange"),
    clusterDns: String(config["ClusterDNS"] ?? ""),
    clusterDomain: String(config["ClusterDomain"] ?? "cluster.local"),
    flannelBackend: String(config["FlannelBackend"] ?? "vxlan"),
    disableKubeProxy: config["DisableKubeProxy"] === true,
    disableDns:
      (config["Disables"] as Readonly<Record<string, boolean>> | undefined)?.["coredns"] === true,
  };
}

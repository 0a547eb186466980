/**
 * What a server keeps under `<data-dir>/server`: certificate authorities, leaf certificates, the service-account key, tokens. Layout, subjects and
 * usages are K3s' (its `server/tls`). Made at first start; leaves are issued anew when they are about to expire, when their names change, or when
 * their authority did.
 */
import { generateKeyPairSync, X509Certificate } from "node:crypto";
import { mkdir, readFile, symlink } from "node:fs/promises";
import { join } from "node:path";
import {
  caHash,
  createAuthority,
  formatToken,
  isUsable,
  issueCertificate,
  newPassword,
  parseToken,
  readPair,
  sansOf,
  subjectOf,
  writePair,
  writeSecret,
  type CertificateUsage,
  type KeyPair,
  type Subject,
  type SubjectAltNames,
} from "@wherry/pki";

export interface ClusterFilesOptions {
  readonly dataDir: string;
  readonly clusterDomain: string;
  /** Names and addresses that the serving certificate must carry beyond the standard ones. */
  readonly serverNames: readonly string[];
  readonly serverIps: readonly string[];
  /** The first address of the service CIDR. */
  readonly apiserverServiceIp: string;
  /** `--token`, `--agent-token`: a password or a full token; undefined = keep what is stored, or make one. */
  readonly token: string | undefined;
  readonly agentToken: string | undefined;
  readonly nowMs: number;
}

export interface ClusterFiles {
  readonly tlsDir: string;
  readonly serverCa: KeyPair;
  readonly clientCa: KeyPair;
  readonly requestHeaderCa: KeyPair;
  readonly serving: KeyPair;
  readonly admin: KeyPair;
  readonly kubeApiserver: KeyPair;
  readonly controller: KeyPair;
  readonly scheduler: KeyPair;
  readonly supervisor: KeyPair;
  readonly authProxy: KeyPair;
  /** PKCS #8 PEM, ECDSA P-256. */
  readonly serviceKeyPem: string;
  readonly serverPassword: string;
  readonly agentPassword: string;
  /** Full tokens with the CA hash. */
  readonly serverToken: string;
  readonly agentToken: string;
}

/** A leaf with less time left than this is issued anew at start. */
const RENEW_BEFORE_MS = 90 * 86_400_000;

interface LeafPlan {
  readonly file: string;
  readonly authority: KeyPair;
  readonly subject: Subject;
  readonly usages: readonly CertificateUsage[];
  readonly sans?: SubjectAltNames;
}

export async function ensureClusterFiles(options: ClusterFilesOptions): Promise<ClusterFiles> {
  const serverDir = join(options.dataDir, "server");
  const tlsDir = join(serverDir, "tls");
  await mkdir(tlsDir, { recursive: true, mode: 0o700 });
  const stamp = Math.floor(options.nowMs / 1000);
  const [serverCa, clientCa, requestHeaderCa] = await Promise.all([
    ensureAuthority(join(tlsDir, "server-ca"), `wherry-server-ca@${stamp}`),
    ensureAuthority(join(tlsDir, "client-ca"), `wherry-client-ca@${stamp}`),
    ensureAuthority(join(tlsDir, "request-header-ca"), `wherry-request-header-ca@${stamp}`),
  ]);
  const client = (file: string, commonName: string, ...organizations: string[]): Promise<KeyPair> =>
    ensureLeaf(
      {
        file: join(tlsDir, file),
        authority: clientCa,
        subject: { commonName, organizations },
        usages: ["client"],
      },
      options.nowMs,
    );

  const [
    serving,
    admin,
    kubeApiserver,
    controller,
    scheduler,
    supervisor,
    authProxy,
    serviceKeyPem,
  ] = await Promise.all([
    ensureLeaf(
      {
        file: join(tlsDir, "serving-kube-apiserver"),
        authority: serverCa,
        subject: { commonName: "kube-apiserver" },
        usages: ["server"],
        sans: servingNames(options),
      },
      options.nowMs,
    ),
    client("client-admin", "system:admin", "system:masters"),
    client("client-kube-apiserver", "system:apiserver", "system:masters"),
    client("client-controller", "system:kube-controller-manager"),
    client("client-scheduler", "system:kube-scheduler"),
    client("client-supervisor", "system:k3s-supervisor", "system:masters"),
    ensureLeaf(
      {
        file: join(tlsDir, "client-auth-proxy"),
        authority: requestHeaderCa,
        subject: { commonName: "system:auth-proxy" },
        usages: ["client"],
      },
      options.nowMs,
    ),
    ensureServiceKey(join(tlsDir, "service.key")),
  ]);
  const tokens = await ensureTokens(serverDir, caHash(serverCa.certPem), options);
  return {
    tlsDir,
    serverCa,
    clientCa,
    requestHeaderCa,
    serving,
    admin,
    kubeApiserver,
    controller,
    scheduler,
    supervisor,
    authProxy,
    serviceKeyPem,
    ...tokens,
  };
}

function servingNames(options: ClusterFilesOptions): SubjectAltNames {
  const domain = options.clusterDomain;
  return {
    dns: unique([
      "kubernetes",
      "kubernetes.default",
      "kubernetes.default.svc",
      `kubernetes.default.svc.${domain}`,
      "localhost",
      ...options.serverNames,
    ]),
    ips: unique(["127.0.0.1", "::1", options.apiserverServiceIp, ...options.serverIps]),
  };
}

async function ensureAuthority(base: string, commonName: string): Promise<KeyPair> {
  const existing = await readPair(base);
  if (existing !== undefined) return existing;
  const authority = await createAuthority({ commonName });
  await writePair(base, authority);
  return authority;
}

async function ensureLeaf(plan: LeafPlan, nowMs: number): Promise<KeyPair> {
  const existing = await readPair(plan.file);
  if (existing !== undefined && isCurrent(existing, plan, nowMs)) return existing;
  const leaf = await issueCertificate(plan.authority, {
    subject: plan.subject,
    usages: plan.usages,
    nowMs,
    ...(plan.sans === undefined ? {} : { sans: plan.sans }),
  });
  await writePair(plan.file, leaf);
  return leaf;
}

function isCurrent(pair: KeyPair, plan: LeafPlan, nowMs: number): boolean {
  if (!isUsable(pair, nowMs, RENEW_BEFORE_MS)) return false;
  const certificate = new X509Certificate(pair.certPem);
  if (!certificate.verify(new X509Certificate(plan.authority.certPem).publicKey)) return false;
  if (subjectOf(certificate).commonName !== plan.subject.commonName) return false;
  const names = new Set(sansOf(certificate).map(canonicalName));
  return [...(plan.sans?.dns ?? []), ...(plan.sans?.ips ?? [])].every((name) =>
    names.has(canonicalName(name)),
  );
}

/** IPv6 addresses are printed in long form in certificates ("0:0:0:0:0:0:0:1"). */
function canonicalName(name: string): string {
  if (!name.includes(":")) return name;
  return new URL(`http://[${name}]`).hostname;
}

async function ensureServiceKey(file: string): Promise<string> {
  const existing = await readOptional(file);
  if (existing !== undefined) return existing;
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const keyPem = privateKey.export({ type: "pkcs8", format: "pem" });
  await writeSecret(file, keyPem);
  return keyPem;
}

interface Tokens {
  readonly serverPassword: string;
  readonly agentPassword: string;
  readonly serverToken: string;
  readonly agentToken: string;
}

async function ensureTokens(
  serverDir: string,
  hash: string,
  options: ClusterFilesOptions,
): Promise<Tokens> {
  const tokenFile = join(serverDir, "token");
  const stored = await readOptional(tokenFile);
  const serverPassword = passwordOf(options.token) ?? passwordOf(stored) ?? newPassword();
  const agentPassword = passwordOf(options.agentToken) ?? serverPassword;
  const serverToken = formatToken({
    kind: "password",
    caHash: hash,
    user: "server",
    password: serverPassword,
  });
  const agentToken = formatToken({
    kind: "password",
    caHash: hash,
    user: "node",
    password: agentPassword,
  });
  if (stored?.trim() !== serverToken) await writeSecret(tokenFile, `${serverToken}\n`);
  if (options.agentToken !== undefined)
    await writeSecret(join(serverDir, "agent-token"), `${agentToken}\n`);
  await symlink("token", join(serverDir, "node-token")).catch(ignoreExisting);
  await writeSecret(
    join(serverDir, "cred", "passwd"),
    `${agentPassword},node,node,k3s:agent\n${serverPassword},server,server,k3s:server\n`,
  );
  return { serverPassword, agentPassword, serverToken, agentToken };
}

function passwordOf(text: string | undefined): string | undefined {
  if (text === undefined || text.trim() === "") return undefined;
  const token = parseToken(text);
  return token.kind === "password" ? token.password : `${token.id}.${token.secret}`;
}

async function readOptional(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new Error(`${file} cannot be read: ${(error as Error).message}`, { cause: error });
  }
}

function ignoreExisting(error: NodeJS.ErrnoException): void {
  if (error.code !== "EEXIST") throw error;
}

function unique(values: readonly string[]): string[] {
  return [...new Set(values)];
}

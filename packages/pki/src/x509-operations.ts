import "reflect-metadata";
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  randomBytes,
  webcrypto,
  type KeyObject,
} from "node:crypto";
import * as x509 from "@peculiar/x509";
import {
  AUTHORITY_VALID_DAYS,
  BACKDATE_MS,
  LEAF_VALID_DAYS,
  type AuthorityRequest,
  type CsrRequest,
  type KeyPair,
  type LeafRequest,
  type Subject,
  type SubjectAltNames,
} from "./certificate.ts";

/** Runs in the short-lived worker only, so that the X.509 library does not stay in memory. */
x509.cryptoProvider.set(webcrypto);

const EC_P256 = { name: "ECDSA", namedCurve: "P-256" } as const;
const RSA_SHA256 = { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" } as const;
const DAY_MS = 86_400_000;
const SERVER_AUTH = "1.3.6.1.5.5.7.3.1";
const CLIENT_AUTH = "1.3.6.1.5.5.7.3.2";

export async function createAuthority(request: AuthorityRequest): Promise<KeyPair> {
  const key = newKey();
  const { privateKey, algorithm } = await signingKey(key);
  const publicKey = await importPublicKey(createPublicKey(key));
  const nowMs = request.nowMs ?? Date.now();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: newSerial(),
    name: nameOf({ commonName: request.commonName }),
    notBefore: new Date(nowMs - BACKDATE_MS),
    notAfter: new Date(nowMs + (request.validDays ?? AUTHORITY_VALID_DAYS) * DAY_MS),
    signingAlgorithm: algorithm,
    keys: { privateKey, publicKey },
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(
        x509.KeyUsageFlags.digitalSignature |
          x509.KeyUsageFlags.keyEncipherment |
          x509.KeyUsageFlags.keyCertSign,
        true,
      ),
      await x509.SubjectKeyIdentifierExtension.create(publicKey),
    ],
  });
  return { certPem: pem(certificate), keyPem: exportKey(key) };
}

export async function issueLeaf(
  authority: KeyPair,
  request: LeafRequest,
  existingKeyPem?: string,
): Promise<KeyPair> {
  const key = existingKeyPem === undefined ? newKey() : createPrivateKey(existingKeyPem);
  return { certPem: await sign(authority, request, createPublicKey(key)), keyPem: exportKey(key) };
}

/** Checks the request's own signature, then issues for its key with the given subject; what the request asks for is not taken over. */
export async function signRequest(
  authority: KeyPair,
  csr: Uint8Array | string,
  request: LeafRequest,
): Promise<string> {
  const parsed = parseRequest(csr);
  if (!(await parsed.verify()))
    throw new Error("the certificate request's signature does not match its key");
  const publicKey = createPublicKey({
    key: Buffer.from(parsed.publicKey.rawData),
    format: "der",
    type: "spki",
  });
  return await sign(authority, request, publicKey);
}

export async function createRequest(
  request: CsrRequest,
  keyPem?: string,
): Promise<{ keyPem: string; csrDer: Uint8Array }> {
  const key = keyPem === undefined ? newKey() : createPrivateKey(keyPem);
  const { privateKey, algorithm } = await signingKey(key);
  const csr = await x509.Pkcs10CertificateRequestGenerator.create({
    name: nameOf(request.subject),
    keys: { privateKey, publicKey: await importPublicKey(createPublicKey(key)) },
    signingAlgorithm: algorithm,
    extensions: sanExtension(request.sans),
  });
  return { keyPem: exportKey(key), csrDer: new Uint8Array(csr.rawData) };
}

/** Subject and names that a request asks for; the signature is checked. */
export async function readRequest(csr: Uint8Array | string): Promise<CsrRequest> {
  const parsed = parseRequest(csr);
  if (!(await parsed.verify()))
    throw new Error("the certificate request's signature does not match its key");
  const extension = parsed.extensions.find(
    (one) => one instanceof x509.SubjectAlternativeNameExtension,
  );
  const names = extension?.names.items ?? [];
  return {
    subject: {
      commonName: parsed.subjectName.getField("CN")[0] ?? "",
      organizations: parsed.subjectName.getField("O"),
    },
    sans: {
      dns: names.filter((name) => name.type === "dns").map((name) => name.value),
      ips: names.filter((name) => name.type === "ip").map((name) => name.value),
    },
  };
}

async function sign(
  authority: KeyPair,
  request: LeafRequest,
  publicKey: KeyObject,
): Promise<string> {
  const issuer = new x509.X509Certificate(authority.certPem);
  const { privateKey, algorithm } = await signingKey(createPrivateKey(authority.keyPem));
  const nowMs = request.nowMs ?? Date.now();
  const imported = await importPublicKey(publicKey);
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: newSerial(),
    subject: nameOf(request.subject),
    issuer: issuer.subjectName,
    notBefore: new Date(nowMs - BACKDATE_MS),
    notAfter: new Date(nowMs + (request.validDays ?? LEAF_VALID_DAYS) * DAY_MS),
    signingAlgorithm: algorithm,
    publicKey: imported,
    signingKey: privateKey,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(
        x509.KeyUsageFlags.digitalSignature | x509.KeyUsageFlags.keyEncipherment,
        true,
      ),
      new x509.ExtendedKeyUsageExtension(
        request.usages.map((usage) => (usage === "server" ? SERVER_AUTH : CLIENT_AUTH)),
      ),
      await x509.AuthorityKeyIdentifierExtension.create(await issuer.publicKey.export()),
      ...sanExtension(request.sans),
    ],
  });
  return pem(certificate);
}

function parseRequest(csr: Uint8Array | string): x509.Pkcs10CertificateRequest {
  try {
    return new x509.Pkcs10CertificateRequest(typeof csr === "string" ? csr : new Uint8Array(csr));
  } catch (error) {
    throw new Error("the certificate request cannot be parsed as PKCS #10", { cause: error });
  }
}

function newKey(): KeyObject {
  return generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
}

/** 127 bits, positive, so that DER needs no padding byte. */
function newSerial(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return bytes.toString("hex");
}

function exportKey(key: KeyObject): string {
  return key.export({ type: "pkcs8", format: "pem" });
}

function pem(certificate: x509.X509Certificate): string {
  return `${certificate.toString("pem").trim()}\n`;
}

function nameOf(subject: Subject): x509.Name {
  const parts = [
    ...(subject.organizations ?? []).map((value) => ({ O: [value] })),
    { CN: [subject.commonName] },
  ];
  return new x509.Name(parts);
}

function sanExtension(sans: SubjectAltNames | undefined): x509.Extension[] {
  const names = [
    ...(sans?.dns ?? []).map((value) => ({ type: "dns" as const, value })),
    ...(sans?.ips ?? []).map((value) => ({ type: "ip" as const, value })),
  ];
  return names.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension(names)];
}

async function signingKey(key: KeyObject): Promise<{
  privateKey: webcrypto.CryptoKey;
  algorithm: webcrypto.EcdsaParams | webcrypto.RsaHashedImportParams;
}> {
  const der = key.export({ type: "pkcs8", format: "der" });
  if (key.asymmetricKeyType === "rsa") {
    return {
      privateKey: await webcrypto.subtle.importKey("pkcs8", der, RSA_SHA256, true, ["sign"]),
      algorithm: RSA_SHA256,
    };
  }
  const namedCurve = key.asymmetricKeyDetails?.namedCurve === "secp384r1" ? "P-384" : "P-256";
  const privateKey = await webcrypto.subtle.importKey(
    "pkcs8",
    der,
    { ...EC_P256, namedCurve },
    true,
    ["sign"],
  );
  return { privateKey, algorithm: { name: "ECDSA", hash: "SHA-256" } };
}

async function importPublicKey(key: KeyObject): Promise<webcrypto.CryptoKey> {
  const der = key.export({ type: "spki", format: "der" });
  if (key.asymmetricKeyType === "rsa")
    return await webcrypto.subtle.importKey("spki", der, RSA_SHA256, true, ["verify"]);
  const namedCurve = key.asymmetricKeyDetails?.namedCurve === "secp384r1" ? "P-384" : "P-256";
  return await webcrypto.subtle.importKey("spki", der, { ...EC_P256, namedCurve }, true, [
    "verify",
  ]);
}

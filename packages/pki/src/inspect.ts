import { createHash, createPrivateKey, createPublicKey, X509Certificate } from "node:crypto";
import type { KeyPair } from "./certificate.ts";

const PEM_BLOCK = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----\n?/g;

/** The certificates of a PEM bundle, in order. Throws when there is none. */
export function parseBundle(pem: string): X509Certificate[] {
  const blocks = pem.match(PEM_BLOCK) ?? [];
  if (blocks.length === 0) throw new Error("no certificate found in the PEM data");
  return blocks.map((block) => new X509Certificate(block));
}

/**
 * K3s' CA hash, which a full token carries (facts of the join protocol): of a single certificate the SHA-256 of the PEM bytes as served; of a
 * bundle the SHA-256 of the root's DER, the root being the last, self-signed one.
 */
export function caHash(pem: string): string {
  const certificates = parseBundle(pem);
  const last = certificates.at(-1);
  const hashed = certificates.length === 1 || last === undefined ? Buffer.from(pem) : last.raw;
  return createHash("sha256").update(hashed).digest("hex");
}

/** True when certificate and key belong together and the certificate is valid now and for `leftMs` more. */
export function isUsable(pair: KeyPair, nowMs: number, leftMs: number): boolean {
  try {
    const certificate = new X509Certificate(pair.certPem);
    if (
      certificate.validFromDate.getTime() > nowMs ||
      certificate.validToDate.getTime() < nowMs + leftMs
    )
      return false;
    return certificate.checkPrivateKey(createPrivateKey(pair.keyPem));
  } catch {
    // Whatever cannot be parsed is not usable; the caller makes a new one.
    return false;
  }
}

/** Common name and organizations of a certificate's subject. */
export function subjectOf(certificate: X509Certificate): {
  readonly commonName: string;
  readonly organizations: readonly string[];
} {
  const fields = certificate.subject.split("\n").map((line) => {
    const equals = line.indexOf("=");
    return [line.slice(0, equals), line.slice(equals + 1)] as const;
  });
  return {
    commonName: fields.find(([key]) => key === "CN")?.[1] ?? "",
    organizations: fields.filter(([key]) => key === "O").map(([, value]) => value),
  };
}

/** Names and addresses of a certificate's subject alternative name, sorted. */
export function sansOf(certificate: X509Certificate): string[] {
  return (certificate.subjectAltName ?? "")
    .split(", ")
    .filter((part) => part !== "")
    .map((part) => part.replace(/^(DNS|IP Address):/, ""))
    .sort();
}

/** SPKI PEM of a private key's public half. */
export function publicKeyOf(keyPem: string): string {
  return createPublicKey(keyPem).export({ type: "spki", format: "pem" });
}

import { X509Certificate } from "node:crypto";
import type { TLSSocket } from "node:tls";
import type { HttpRequest } from "@wherry/service-kit";

/** Longest chain that is followed from a client's certificate to a CA. */
const chainMax = 8;
/** extendedKeyUsage values that allow a certificate to identify a client (RFC 5280 §4.2.1.12). */
const clientAuth = "1.3.6.1.5.5.7.3.2";
const anyUsage = "2.5.29.37.0";

export interface PeerCertificate {
  readonly leaf: X509Certificate;
  /** What the peer sent beside its leaf, nearest issuer first. */
  readonly intermediates: readonly X509Certificate[];
}

const peers = new WeakMap<object, PeerCertificate | null>();

/** The certificate that the other side of the request's TLS connection has shown, read once per connection. */
export function peerCertificate(request: HttpRequest): PeerCertificate | undefined {
  const connection =
    "stream" in request ? (request.stream.session ?? request.socket) : request.socket;
  const known = peers.get(connection);
  if (known !== undefined) return known ?? undefined;
  const found = readPeer(request.socket as Partial<TLSSocket>);
  peers.set(connection, found ?? null);
  return found;
}

function readPeer(socket: Partial<TLSSocket>): PeerCertificate | undefined {
  const leaf = socket.getPeerX509Certificate?.();
  if (leaf === undefined) return undefined;
  const intermediates: X509Certificate[] = [];
  for (
    let issuer = leaf.issuerCertificate;
    issuer !== undefined && intermediates.length < chainMax;
    issuer = issuer.issuerCertificate
  ) {
    if (intermediates.at(-1)?.fingerprint256 === issuer.fingerprint256) break;
    intermediates.push(issuer);
  }
  return { leaf, intermediates };
}

export type ChainVerdict =
  | { readonly kind: "trusted" }
  | { readonly kind: "refused"; readonly reason: string };

/**
 * Decides whether a client's certificate leads to one of `authorities`, whatever TLS thought of it: several authorities with different meaning (clients, the
 * front proxy) may stand behind one listener. Signatures are checked once per certificate and authority set; validity in time at every call.
 */
export function createChainVerifier(
  authorities: readonly X509Certificate[],
): (peer: PeerCertificate, now: number) => ChainVerdict {
  const chains = new WeakMap<X509Certificate, readonly X509Certificate[] | string>();
  return (peer, now) => {
    let chain = chains.get(peer.leaf);
    if (chain === undefined) {
      chain = buildChain(peer, authorities);
      chains.set(peer.leaf, chain);
    }
    if (typeof chain === "string") return { kind: "refused", reason: chain };
    for (const certificate of chain) {
      if (now < certificate.validFromDate.getTime() || now > certificate.validToDate.getTime()) {
        return { kind: "refused", reason: "x509: certificate has expired or is not yet valid" };
      }
    }
    return { kind: "trusted" };
  };
}

function buildChain(
  peer: PeerCertificate,
  authorities: readonly X509Certificate[],
): readonly X509Certificate[] | string {
  const usages = peer.leaf.keyUsage as readonly string[] | undefined;
  if (usages !== undefined && !usages.includes(clientAuth) && !usages.includes(anyUsage)) {
    return "x509: certificate specifies an incompatible key usage";
  }
  const chain: X509Certificate[] = [peer.leaf];
  const candidates = [...peer.intermediates];
  while (chain.length <= chainMax) {
    const current = chain.at(-1)!;
    const authority = authorities.find((certificate) => issued(certificate, current));
    if (authority !== undefined) return [...chain, authority];
    const index = candidates.findIndex(
      (certificate) => certificate.ca && issued(certificate, current),
    );
    if (index < 0) break;
    chain.push(...candidates.splice(index, 1));
  }
  return "x509: certificate signed by unknown authority";
}

function issued(issuer: X509Certificate, certificate: X509Certificate): boolean {
  return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}

/** All certificates of a PEM bundle. Throws when it holds none. */
export function parseCertificates(pem: string): readonly X509Certificate[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length === 0) throw new TypeError("the CA bundle holds no CERTIFICATE block");
  return blocks.map((block) => new X509Certificate(block));
}

/** CN and O of the subject; the last CN counts, as in Go's pkix.Name. */
export function subjectOf(certificate: X509Certificate): {
  readonly commonName: string;
  readonly organizations: readonly string[];
} {
  const subject = certificate.toLegacyObject().subject as unknown as Readonly<
    Record<string, string | readonly string[] | undefined>
  >;
  return { commonName: listOf(subject["CN"]).at(-1) ?? "", organizations: listOf(subject["O"]) };
}

function listOf(value: string | readonly string[] | undefined): readonly string[] {
  return value === undefined ? [] : typeof value === "string" ? [value] : value;
}

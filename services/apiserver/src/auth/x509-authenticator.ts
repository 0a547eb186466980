import type { UserInfo } from "@wherry/machinery";
import type { Clock } from "@wherry/service-kit";
import type { Authenticator } from "../chain.ts";
import {
  createChainVerifier,
  parseCertificates,
  peerCertificate,
  subjectOf,
} from "./certificate-chain.ts";
import { unauthorized } from "./unauthorized.ts";
import { credentialIdKey } from "./well-known-users.ts";

export interface X509AuthenticatorOptions {
  /** PEM bundle of the CAs that sign clients' certificates. */
  readonly clientCa: string;
  readonly clock: Clock;
}

/** Client certificates: the common name is the user, the organisations are the groups. Trust and expiry are checked at every request. */
export function createX509Authenticator(options: X509AuthenticatorOptions): Authenticator {
  const verify = createChainVerifier(parseCertificates(options.clientCa));
  return {
    async authenticate(request) {
      const peer = peerCertificate(request);
      if (peer === undefined) return undefined;
      const verdict = verify(peer, options.clock.now());
      if (verdict.kind === "refused") throw unauthorized(verdict.reason);
      const subject = subjectOf(peer.leaf);
      if (subject.commonName === "") return undefined;
      const fingerprint = peer.leaf.fingerprint256.replaceAll(":", "").toLowerCase();
      return {
        name: subject.commonName,
        groups: subject.organizations,
        extra: { [credentialIdKey]: [`X509SHA256=${fingerprint}`] },
      } satisfies UserInfo;
    },
  };
}

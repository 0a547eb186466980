import type { Clock } from "@wherry/service-kit";
import type { Authenticator } from "../chain.ts";
import {
  createChainVerifier,
  parseCertificates,
  peerCertificate,
  subjectOf,
} from "./certificate-chain.ts";
import { headersWithPrefix, headerValues } from "./request-headers.ts";
import { unauthorized } from "./unauthorized.ts";

export interface RequestHeaderOptions {
  /** PEM bundle of the CAs that sign front proxies' certificates. */
  readonly requestHeaderCa: string;
  /** Common names that a front proxy may have; empty = any that the CA signed. */
  readonly allowedNames: readonly string[];
  readonly usernameHeaders: readonly string[];
  readonly uidHeaders: readonly string[];
  readonly groupHeaders: readonly string[];
  readonly extraHeaderPrefixes: readonly string[];
}

/** What kube-apiserver documents and K3s sets; also what a reverse proxy in front of a split API server sends. */
export const defaultRequestHeaders = {
  usernameHeaders: ["X-Remote-User"],
  uidHeaders: ["X-Remote-Uid"],
  groupHeaders: ["X-Remote-Group"],
  extraHeaderPrefixes: ["X-Remote-Extra-"],
} as const satisfies Partial<RequestHeaderOptions>;

/**
 * Identity told by a front proxy in headers. They count only when the connection's own certificate comes from the request-header CA; on any other
 * connection the headers are nothing but text.
 */
export function createRequestHeaderAuthenticator(
  options: RequestHeaderOptions,
  clock: Clock,
): Authenticator {
  const verify = createChainVerifier(parseCertificates(options.requestHeaderCa));
  return {
    async authenticate(request) {
      const peer = peerCertificate(request);
      if (peer === undefined) return undefined;
      const verdict = verify(peer, clock.now());
      if (verdict.kind === "refused") throw unauthorized(verdict.reason);
      const { commonName } = subjectOf(peer.leaf);
      if (options.allowedNames.length > 0 && !options.allowedNames.includes(commonName)) {
        throw unauthorized(`x509: subject with cn=${commonName} is not in the allowed list`);
      }
      const first = (names: readonly string[]): string =>
        names
          .flatMap((name) => headerValues(request, name).map((value) => value.trim()))
          .find(Boolean) ?? "";
      const name = first(options.usernameHeaders);
      if (name === "") return undefined;
      const uid = first(options.uidHeaders);
      const groups = options.groupHeaders.flatMap((header) => headerValues(request, header));
      const extra: Record<string, string[]> = {};
      for (const prefix of options.extraHeaderPrefixes) {
        for (const [key, values] of headersWithPrefix(request, prefix))
          extra[key] = [...(extra[key] ?? []), ...values];
      }
      return {
        name,
        groups,
        ...(uid === "" ? {} : { uid }),
        ...(Object.keys(extra).length === 0 ? {} : { extra }),
      };
    },
  };
}

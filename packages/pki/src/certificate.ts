/** Shapes of what this package issues and reads. Times in ms since the epoch; certificates and keys in PEM. */

export interface KeyPair {
  readonly certPem: string;
  /** PKCS #8. */
  readonly keyPem: string;
}

export interface Subject {
  readonly commonName: string;
  /** Kubernetes reads these as groups. */
  readonly organizations?: readonly string[];
}

export interface SubjectAltNames {
  readonly dns?: readonly string[];
  readonly ips?: readonly string[];
}

export type CertificateUsage = "server" | "client";

export interface AuthorityRequest {
  readonly commonName: string;
  readonly validDays?: number;
  /** Now, in ms; injected for tests. */
  readonly nowMs?: number;
}

export interface LeafRequest {
  readonly subject: Subject;
  readonly sans?: SubjectAltNames;
  readonly usages: readonly CertificateUsage[];
  readonly validDays?: number;
  readonly nowMs?: number;
}

export interface CsrRequest {
  readonly subject: Subject;
  readonly sans?: SubjectAltNames;
}

/** What K3s uses: ten years for a CA, one for a leaf; the beginning lies an hour back for clocks that go slow. */
export const AUTHORITY_VALID_DAYS = 3650;
export const LEAF_VALID_DAYS = 365;
export const BACKDATE_MS = 3_600_000;

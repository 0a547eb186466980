export { AUTHORITY_VALID_DAYS, LEAF_VALID_DAYS } from "./certificate.ts";
export type {
  AuthorityRequest,
  CertificateUsage,
  CsrRequest,
  KeyPair,
  LeafRequest,
  Subject,
  SubjectAltNames,
} from "./certificate.ts";
export { caHash, isUsable, parseBundle, publicKeyOf, sansOf, subjectOf } from "./inspect.ts";
export { buildKubeconfig, KubeconfigError, loadKubeconfig } from "./kubeconfig.ts";
export type { KubeconfigAccess, KubeconfigParts } from "./kubeconfig.ts";
export { readPair, writeFileAtomic, writePair, writeSecret } from "./pem-files.ts";
export { authorizationOf, formatToken, newPassword, parseToken, TokenError } from "./token.ts";
export type { JoinToken } from "./token.ts";
export {
  createAuthority,
  createCertificateRequest,
  issueCertificate,
  PkiError,
  readCertificateRequest,
  signCertificateRequest,
} from "./x509.ts";

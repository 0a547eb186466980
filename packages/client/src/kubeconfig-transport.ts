import { createHttpTransport, type HttpTransport } from "./http-transport.ts";

/** What a kubeconfig's current context says; `loadKubeconfig` of @wherry/pki gives it. */
export interface ClusterAccess {
  readonly server: string;
  readonly caPem?: string;
  readonly insecureSkipTlsVerify: boolean;
  readonly tlsServerName?: string;
  readonly certPem?: string;
  readonly keyPem?: string;
  readonly token?: string;
  readonly tokenFile?: string;
}

/** An HTTP transport for a kubeconfig's access. */
export function createKubeconfigTransport(
  access: ClusterAccess,
  options: { readonly userAgent: string; readonly connectionsMax?: number },
): HttpTransport {
  const token =
    access.tokenFile === undefined
      ? access.token === undefined
        ? undefined
        : { value: access.token }
      : { file: access.tokenFile };
  return createHttpTransport({
    ...options,
    url: access.server,
    insecureSkipTlsVerify: access.insecureSkipTlsVerify,
    ...(access.caPem === undefined ? {} : { ca: { value: access.caPem } }),
    ...(access.tlsServerName === undefined ? {} : { serverName: access.tlsServerName }),
    ...(access.certPem === undefined ? {} : { cert: { value: access.certPem } }),
    ...(access.keyPem === undefined ? {} : { key: { value: access.keyPem } }),
    ...(token === undefined ? {} : { token }),
  });
}

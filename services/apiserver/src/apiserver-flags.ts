import type { FlagDefinition } from "@wherry/service-kit";

const unsupported = (
  kind: FlagDefinition["kind"],
  why: string,
  ...names: readonly string[]
): readonly FlagDefinition[] => names.map((name) => ({ name, kind, help: why, unsupported: why }));

/** Flags of the stand-alone API server. All but `--egress-proxy-url` and the log flags have kube-apiserver's names and meaning. */
export const apiserverFlags: readonly FlagDefinition[] = [
  {
    name: "etcd-servers",
    group: "Datastore",
    kind: "list",
    help: "Address of the datastore: http://HOST:PORT, https://HOST:PORT or unix:PATH. Required.",
  },
  {
    name: "etcd-cafile",
    group: "Datastore",
    kind: "string",
    help: "PEM file of the authorities that may have signed the datastore's certificate.",
  },
  {
    name: "etcd-certfile",
    group: "Datastore",
    kind: "string",
    help: "PEM file of the client certificate for the datastore.",
  },
  { name: "etcd-keyfile", group: "Datastore", kind: "string", help: "PEM file of its key." },
  {
    name: "etcd-compaction-interval",
    group: "Datastore",
    kind: "string",
    defaultText: "5m0s",
    help: "History that is kept; 0 = this server does not compact.",
  },
  {
    name: "event-ttl",
    group: "Datastore",
    kind: "string",
    defaultText: "1h0m0s",
    help: "How long events are kept.",
  },

  {
    name: "bind-address",
    group: "Serving",
    kind: "string",
    defaultText: "0.0.0.0",
    help: "Address to listen on.",
  },
  {
    name: "secure-port",
    group: "Serving",
    kind: "integer",
    defaultText: "6443",
    help: "Port to listen on.",
  },
  {
    name: "tls-cert-file",
    group: "Serving",
    kind: "string",
    help: "PEM file of the serving certificate. Required.",
  },
  {
    name: "tls-private-key-file",
    group: "Serving",
    kind: "string",
    help: "PEM file of its key. Required.",
  },
  {
    name: "advertise-address",
    group: "Serving",
    kind: "string",
    help: "Address under which others reach this server; by default the first of this machine.",
  },
  {
    name: "max-requests-inflight",
    group: "Serving",
    kind: "integer",
    defaultText: "400",
    help: "Reads that are worked on at once.",
  },
  {
    name: "max-mutating-requests-inflight",
    group: "Serving",
    kind: "integer",
    defaultText: "200",
    help: "Writes that are worked on at once.",
  },
  {
    name: "shutdown-delay-duration",
    group: "Serving",
    kind: "string",
    defaultText: "0s",
    help: "Time between /readyz turning red and the first refused request.",
  },

  {
    name: "anonymous-auth",
    group: "Authentication",
    kind: "boolean",
    defaultText: "true",
    help: "Requests without credentials are system:anonymous.",
  },
  {
    name: "client-ca-file",
    group: "Authentication",
    kind: "string",
    help: "PEM file of the authorities of client certificates.",
  },
  {
    name: "token-auth-file",
    group: "Authentication",
    kind: "string",
    help: 'CSV file of bearer tokens: token,user,uid,"group1,group2".',
  },
  {
    name: "enable-bootstrap-token-auth",
    group: "Authentication",
    kind: "boolean",
    defaultText: "false",
    help: "Accept bootstrap tokens kept in kube-system.",
  },
  {
    name: "requestheader-client-ca-file",
    group: "Authentication",
    kind: "string",
    help: "PEM file of the authorities of front proxies.",
  },
  {
    name: "requestheader-allowed-names",
    group: "Authentication",
    kind: "list",
    help: "Common names of front proxies; none = any.",
  },
  {
    name: "requestheader-username-headers",
    group: "Authentication",
    kind: "list",
    defaultText: "X-Remote-User",
    help: "Headers that carry the user name.",
  },
  {
    name: "requestheader-uid-headers",
    group: "Authentication",
    kind: "list",
    defaultText: "X-Remote-Uid",
    help: "Headers that carry the user's id.",
  },
  {
    name: "requestheader-group-headers",
    group: "Authentication",
    kind: "list",
    defaultText: "X-Remote-Group",
    help: "Headers that carry groups.",
  },
  {
    name: "requestheader-extra-headers-prefix",
    group: "Authentication",
    kind: "list",
    defaultText: "X-Remote-Extra-",
    help: "Prefixes of headers that carry more.",
  },
  {
    name: "service-account-issuer",
    group: "Authentication",
    kind: "list",
    help: "Issuer of service-account tokens; the first one is written, all are accepted.",
  },
  {
    name: "service-account-signing-key-file",
    group: "Authentication",
    kind: "string",
    help: "PEM file of the private key that signs them.",
  },
  {
    name: "service-account-key-file",
    group: "Authentication",
    kind: "list",
    help: "PEM files of further keys whose tokens are accepted.",
  },
  {
    name: "service-account-jwks-uri",
    group: "Authentication",
    kind: "string",
    help: "Where others find the keys, if not below the issuer.",
  },
  {
    name: "service-account-max-token-expiration",
    group: "Authentication",
    kind: "string",
    help: "Longest life of a token.",
  },
  {
    name: "api-audiences",
    group: "Authentication",
    kind: "list",
    help: "Audiences of tokens; by default the issuer.",
  },
  {
    name: "authorization-mode",
    group: "Authentication",
    kind: "list",
    defaultText: "Node,RBAC",
    help: "Only Node,RBAC is served.",
  },

  {
    name: "service-cluster-ip-range",
    group: "Cluster",
    kind: "list",
    defaultText: "10.43.0.0/16",
    help: "Range of service addresses, one per family.",
  },
  {
    name: "service-node-port-range",
    group: "Cluster",
    kind: "string",
    defaultText: "30000-32767",
    help: "Range of node ports.",
  },

  {
    name: "egress-proxy-url",
    group: "Nodes",
    kind: "string",
    help: "https://HOST:PORT of the tunnel proxy that reaches kubelets (HTTP CONNECT).",
  },
  {
    name: "kubelet-client-certificate",
    group: "Nodes",
    kind: "string",
    help: "PEM file of the client certificate for the tunnel proxy and kubelets.",
  },
  { name: "kubelet-client-key", group: "Nodes", kind: "string", help: "PEM file of its key." },
  {
    name: "kubelet-certificate-authority",
    group: "Nodes",
    kind: "string",
    help: "PEM file of the authorities of the tunnel proxy's and kubelets' certificates.",
  },

  { name: "log-level", kind: "string", defaultText: "info", help: "debug, info, warn or error." },
  { name: "log-format", kind: "string", defaultText: "text", help: "text or json." },

  ...unsupported(
    "list",
    "one watch over the whole key space feeds all caches, so every resource has to be in one datastore",
    "etcd-servers-overrides",
  ),
  ...unsupported(
    "string",
    "keys lie below /registry, as kube-apiserver's default has them",
    "etcd-prefix",
  ),
  ...unsupported(
    "string",
    "encryption at rest will come with a later version",
    "encryption-provider-config",
  ),
  ...unsupported(
    "string",
    "audit logs will come with a later version",
    "audit-policy-file",
    "audit-log-path",
  ),
  ...unsupported(
    "list",
    "the built-in plugins cannot be chosen",
    "enable-admission-plugins",
    "disable-admission-plugins",
  ),
];

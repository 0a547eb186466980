import type { FlagDefinition } from "@wherry/service-kit";

/** `WHERRY_X` wins over `K3S_X`. */
export function variables(...names: readonly string[]): readonly string[] {
  return [...names.map((name) => `WHERRY_${name}`), ...names.map((name) => `K3S_${name}`)];
}

/** A flag of K3s that is known and refused, with what to do instead. */
export function unsupported(
  explanation: string,
  kind: FlagDefinition["kind"],
  ...names: readonly string[]
): FlagDefinition[] {
  return names.map((name) => ({ name, kind, help: "", unsupported: explanation }));
}

export const logFlags: readonly FlagDefinition[] = [
  {
    name: "debug",
    kind: "boolean",
    group: "Configuration",
    env: variables("DEBUG"),
    help: "Log in detail.",
  },
  {
    name: "log-format",
    kind: "string",
    group: "Configuration",
    env: ["WHERRY_LOG_FORMAT"],
    defaultText: "text",
    help: "text or json.",
  },
];

export const configFlags: readonly FlagDefinition[] = [
  {
    name: "config",
    short: "c",
    kind: "string",
    group: "Configuration",
    env: variables("CONFIG_FILE"),
    defaultText: "/etc/wherry/config.yaml",
    help: "YAML file of flags.",
  },
  ...logFlags,
];

export const dataFlags: readonly FlagDefinition[] = [
  {
    name: "data-dir",
    short: "d",
    kind: "string",
    group: "Data",
    env: variables("DATA_DIR"),
    defaultText: "/var/lib/wherry, or ~/.wherry without root",
    help: "Folder for all state.",
  },
];

/** What a node needs; valid for `agent` and for `server`. */
export const nodeFlags: readonly FlagDefinition[] = [
  {
    name: "node-name",
    kind: "string",
    group: "Node",
    env: variables("NODE_NAME"),
    defaultText: "the host name",
    help: "Name of this node.",
  },
  {
    name: "with-node-id",
    kind: "boolean",
    group: "Node",
    help: "Append an id of this machine to the node name.",
  },
  { name: "node-label", kind: "list", group: "Node", help: "Labels set at registration." },
  {
    name: "node-taint",
    kind: "list",
    group: "Node",
    help: "Taints set at registration (key=value:Effect).",
  },
  { name: "node-ip", short: "i", kind: "list", group: "Node", help: "Address of this node." },
  { name: "node-external-ip", kind: "list", group: "Node", help: "External address of this node." },
  {
    name: "resolv-conf",
    kind: "string",
    group: "Node",
    env: variables("RESOLV_CONF"),
    help: "Resolver file for the host's names.",
  },
  {
    name: "flannel-iface",
    kind: "string",
    group: "Node",
    help: "Link that carries the pod network.",
  },
  {
    name: "container-runtime-endpoint",
    kind: "string",
    group: "Node",
    help: "Socket of a containerd that runs already.",
  },
  {
    name: "pause-image",
    kind: "string",
    group: "Node",
    defaultText: "wherry.local/pause:1",
    help: "Image of the pod sandbox.",
  },
  {
    name: "kubelet-arg",
    kind: "list",
    group: "Node",
    help: "cgroup-root=, max-pods=, root-dir= of the node agent.",
  },
  ...unsupported("images are unpacked with overlayfs", "string", "snapshotter"),
  ...unsupported(
    "registries.yaml is not read yet; pull through containerd's own configuration in <data-dir>/agent/etc/containerd/certs.d",
    "string",
    "private-registry",
  ),
  ...unsupported(
    "it will come with a later version",
    "string",
    "image-credential-provider-bin-dir",
    "image-credential-provider-config",
    "default-runtime",
    "image-service-endpoint",
    "flannel-conf",
    "flannel-cni-conf",
    "vpn-auth",
    "vpn-auth-file",
    "airgap-extra-registry",
  ),
  ...unsupported(
    "it will come with a later version",
    "list",
    "kube-proxy-arg",
    "node-internal-dns",
    "node-external-dns",
  ),
  ...unsupported(
    "it will come with a later version",
    "boolean",
    "selinux",
    "protect-kernel-defaults",
    "disable-default-registry-endpoint",
    "nonroot-devices",
    "disable-apiserver-lb",
    "enable-pprof",
    "prefer-bundled-bin",
  ),
  ...unsupported(
    "agents dial their server directly; there is no local load balancer",
    "integer",
    "lb-server-port",
  ),
  ...unsupported("containers run by containerd as root", "boolean", "rootless", "docker"),
];

export const joinFlags: readonly FlagDefinition[] = [
  {
    name: "token",
    short: "t",
    kind: "string",
    group: "Cluster",
    env: variables("TOKEN"),
    help: "Shared secret of servers and agents.",
  },
  {
    name: "token-file",
    kind: "string",
    group: "Cluster",
    env: variables("TOKEN_FILE"),
    help: "File that holds the token.",
  },
];

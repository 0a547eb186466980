import type { FlagDefinition } from "@wherry/service-kit";
import { configFlags, dataFlags, joinFlags, nodeFlags, unsupported, variables } from "./common-flags.ts";

/** K3s' flags of `server` (its docs hold here); those that are not supported yet are refused by name. */
export const serverFlags: readonly FlagDefinition[] = [
  ...configFlags,
  ...dataFlags,
  { name: "bind-address", kind: "string", group: "Listener", defaultText: "0.0.0.0", help: "Address to listen on." },
  { name: "https-listen-port", kind: "integer", group: "Listener", defaultText: "6443", help: "The one port: API, supervisor and tunnels." },
  { name: "advertise-address", kind: "string", group: "Listener", defaultText: "the node's address", help: "Address that members of the cluster use." },
  { name: "advertise-port", kind: "integer", group: "Listener", defaultText: "the listening port", help: "Port that members of the cluster use." },
  { name: "tls-san", kind: "list", group: "Listener", help: "Further names and addresses in the certificate." },
  { name: "cluster-cidr", kind: "string", group: "Networking", defaultText: "10.42.0.0/16", help: "Addresses of pods." },
  { name: "service-cidr", kind: "string", group: "Networking", defaultText: "10.43.0.0/16", help: "Addresses of services." },
  { name: "service-node-port-range", kind: "string", group: "Networking", defaultText: "30000-32767", help: "Ports of NodePort services." },
  { name: "cluster-dns", kind: "string", group: "Networking", defaultText: "the 10th address of the service CIDR", help: "Address of the cluster's DNS." },
  { name: "cluster-domain", kind: "string", group: "Networking", defaultText: "cluster.local", help: "Domain of the cluster." },
  { name: "flannel-backend", kind: "string", group: "Networking", defaultText: "vxlan", help: "vxlan, host-gw or none." },
  { name: "write-kubeconfig", short: "o", kind: "string", group: "Kubeconfig", env: variables("KUBECONFIG_OUTPUT"), defaultText: "/etc/wherry/wherry.yaml", help: "Where the admin kubeconfig is written." },
  { name: "write-kubeconfig-mode", kind: "string", group: "Kubeconfig", env: variables("KUBECONFIG_MODE"), defaultText: "600", help: "Its mode, octal." },
  ...joinFlags,
  { name: "agent-token", kind: "string", group: "Cluster", env: variables("AGENT_TOKEN"), help: "Secret that lets agents join, but no servers." },
  { name: "agent-token-file", kind: "string", group: "Cluster", env: variables("AGENT_TOKEN_FILE"), help: "File that holds the agent token." },
  { name: "datastore-endpoint", kind: "string", group: "Datastore", env: variables("DATASTORE_ENDPOINT"), defaultText: "sqlite://<data-dir>/server/db/state.db", help: "Where the cluster's state lies." },
  { name: "disable-agent", kind: "boolean", group: "Components", help: "Control plane only: no node here." },
  { name: "disable-scheduler", kind: "boolean", group: "Components", help: "Run no scheduler." },
  { name: "disable-controller-manager", kind: "boolean", group: "Components", help: "Run no controllers." },
  { name: "disable-kube-proxy", kind: "boolean", group: "Components", help: "Leave service routing to someone else." },
  { name: "disable", kind: "list", group: "Components", help: "Packaged components to leave out: coredns." },
  ...nodeFlags,
  ...unsupported("it will come with a later version: this server makes a cluster of its own", "string", "server", "cluster-reset-restore-path"),
  ...unsupported("it will come with a later version: use the built-in SQLite datastore", "boolean", "cluster-init", "cluster-reset", "etcd-expose-metrics", "etcd-disable-snapshots", "etcd-snapshot-compress", "etcd-s3", "kine-tls"),
  ...unsupported("it will come with a later version: use the built-in SQLite datastore", "string", "etcd-snapshot-name", "etcd-snapshot-schedule-cron", "etcd-snapshot-dir", "datastore-cafile", "datastore-certfile", "datastore-keyfile"),
  ...unsupported("it will come with a later version: use the built-in SQLite datastore", "integer", "etcd-snapshot-retention"),
  ...unsupported("component arguments are not passed through; say what you need with the flags of this command", "list", "kube-apiserver-arg", "etcd-arg", "kube-controller-manager-arg", "kube-scheduler-arg", "kube-cloud-controller-manager-arg"),
  ...unsupported("it will come with a later version", "boolean", "secrets-encryption", "embedded-registry", "supervisor-metrics", "flannel-ipv6-masq", "flannel-external-ip", "disable-apiserver", "disable-etcd", "tls-san-security"),
  ...unsupported("it will come with a later version", "string", "secrets-encryption-provider", "system-default-registry", "helm-job-image", "default-local-storage-path", "egress-selector-mode", "servicelb-namespace", "write-kubeconfig-group", "write-kubeconfig-name", "log", "vmodule"),
  ...unsupported("there is no cloud controller, network policy or Helm controller in this version, so there is nothing to disable", "boolean", "disable-cloud-controller", "disable-network-policy", "disable-helm-controller"),
  ...unsupported("use --debug", "string", "v", "alsologtostderr"),
];

/** `agent`: join, tunnel and node in one process. */
export const agentFlags: readonly FlagDefinition[] = [
  ...configFlags,
  ...dataFlags,
  { name: "server", short: "s", kind: "string", group: "Cluster", env: variables("URL"), help: "Server to join, https://HOST:6443." },
  ...joinFlags,
  ...nodeFlags,
  ...unsupported("the agent listens nowhere", "string", "bind-address"),
];

import type { Pod } from "@wherry/machinery";
import { podSpec } from "./pod-types.ts";

export interface HostsFileInputs {
  readonly pod: Pod;
  readonly podIps: readonly string[];
  readonly hostname: string;
  readonly domain: string;
  /** The node's own file, for pods on the host's network. */
  readonly nodeHosts: string | undefined;
}

/** The text of the managed /etc/hosts. */
export function hostsFile({ pod, podIps, hostname, domain, nodeHosts }: HostsFileInputs): string {
  const head =
    nodeHosts === undefined
      ? [
          "# Kubernetes-managed hosts file.",
          "127.0.0.1\tlocalhost",
          "::1\tlocalhost ip6-localhost ip6-loopback",
          "fe00::0\tip6-localnet",
          "fe00::0\tip6-mcastprefix",
          "fe00::1\tip6-allnodes",
          "fe00::2\tip6-allrouters",
          ...podIps.map((ip) =>
            domain === "" ? `${ip}\t${hostname}` : `${ip}\t${hostname}.${domain}\t${hostname}`,
          ),
          "",
        ].join("\n")
      : `# Kubernetes-managed hosts file (host network).\n${nodeHosts}`;
  const aliases = podSpec(pod).hostAliases ?? [];
  if (aliases.length === 0) return head;
  return `${head}\n# Entries added by HostAliases.\n${aliases.map((alias) => `${alias.ip}\t${(alias.hostnames ?? []).join("\t")}\n`).join("")}`;
}

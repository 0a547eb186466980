import {
  cidrContains,
  cidrsOverlap,
  formatAddress,
  nthAddress,
  parseCidr,
  tryParseAddress,
} from "@wherry/net";
import { UsageError, type FlagValues } from "@wherry/service-kit";
import type { ClusterSettings } from "@wherry/tunnel-proxy";
import { isSet, listOf, oneOf, textOf } from "./flag-values.ts";

/** What holds for the whole cluster, from a server's flags. */
export interface ServerClusterSettings extends ClusterSettings {
  readonly flannelBackend: "vxlan" | "host-gw" | "none";
  readonly apiserverServiceIp: string;
  readonly nodePorts: { readonly first: number; readonly last: number };
}

/** K3s' place for the cluster's DNS: the 10th address of the service CIDR. */
const DNS_INDEX = 10n;
const PACKAGED = ["coredns"];

export function clusterSettingsOf(values: FlagValues): ServerClusterSettings {
  const clusterCidr = cidrOf(values, "cluster-cidr", "10.42.0.0/16");
  const serviceCidr = cidrOf(values, "service-cidr", "10.43.0.0/16");
  const services = parseCidr(serviceCidr);
  if (cidrsOverlap(parseCidr(clusterCidr), services))
    throw new UsageError(
      `--cluster-cidr ${clusterCidr} and --service-cidr ${serviceCidr} overlap; choose ranges that share no address`,
    );
  const clusterDns =
    textOf(values, "cluster-dns") ?? formatAddress(nthAddress(services, DNS_INDEX));
  const dns = tryParseAddress(clusterDns);
  if (dns === undefined)
    throw new UsageError(`--cluster-dns must be an IP address, not "${clusterDns}"`);
  if (!cidrContains(services, dns))
    throw new UsageError(
      `--cluster-dns ${clusterDns} does not lie in the service CIDR ${serviceCidr}`,
    );
  const disabled = listOf(values, "disable");
  const unknown = disabled.find((name) => !PACKAGED.includes(name));
  if (unknown !== undefined)
    throw new UsageError(
      `--disable ${unknown}: there is no such packaged component; there are ${PACKAGED.join(", ")}`,
    );
  return {
    clusterCidr,
    serviceCidr,
    clusterDns,
    clusterDomain: textOf(values, "cluster-domain") ?? "cluster.local",
    flannelBackend: oneOf(values, "flannel-backend", ["vxlan", "host-gw", "none"], "vxlan"),
    disableKubeProxy: isSet(values, "disable-kube-proxy"),
    disableDns: disabled.includes("coredns"),
    apiserverServiceIp: formatAddress(nthAddress(services, 1n)),
    nodePorts: portRangeOf(values),
  };
}

function cidrOf(values: FlagValues, name: string, otherwise: string): string {
  const text = textOf(values, name) ?? otherwise;
  try {
    parseCidr(text);
  } catch (error) {
    throw new UsageError(`--${name} must be a CIDR such as ${otherwise}, not "${text}"`, {
      cause: error,
    });
  }
  return text;
}

function portRangeOf(values: FlagValues): { readonly first: number; readonly last: number } {
  const text = textOf(values, "service-node-port-range") ?? "30000-32767";
  const [, first = "", last = ""] = /^(\d{1,5})-(\d{1,5})$/.exec(text) ?? [];
  const range = { first: Number(first), last: Number(last) };
  if (first === "" || range.first < 1 || range.last > 65_535 || range.first > range.last)
    throw new UsageError(`--service-node-port-range must be FIRST-LAST, not "${text}"`);
  return range;
}

import type { Pod } from "@wherry/machinery";
import { podSpec } from "./pod-types.ts";

const hostnameMax = 63;
const kernelHostnameMax = 64;

export interface PodHostname {
  readonly hostname: string;
  /** `<subdomain>.<namespace>.svc.<cluster domain>`; empty without a subdomain. */
  readonly domain: string;
  /** What the kernel is told: the short name, or the full one when the pod asks for it. */
  readonly kernelName: string;
}

export function podHostname(pod: Pod, clusterDomain: string): PodHostname {
  const spec = podSpec(pod);
  const override = spec.hostnameOverride ?? "";
  if (override !== "") return { hostname: override, domain: "", kernelName: override };
  const given = spec.hostname ?? "";
  const hostname = given === "" ? truncate(pod.metadata.name ?? "") : given;
  const subdomain = spec.subdomain ?? "";
  const domain =
    subdomain === "" ? "" : `${subdomain}.${pod.metadata.namespace}.svc.${clusterDomain}`;
  const full = domain === "" ? hostname : `${hostname}.${domain}`;
  if (spec.setHostnameAsFQDN !== true || domain === "")
    return { hostname, domain, kernelName: hostname };
  if (full.length > kernelHostnameMax) {
    throw new Error(
      `failed to construct FQDN from pod hostname and cluster domain, FQDN ${full} is too long (64 characters is the max, ${full.length} characters requested)`,
    );
  }
  return { hostname, domain, kernelName: full };
}

function truncate(name: string): string {
  return name.slice(0, hostnameMax).replace(/[-.]+$/u, "");
}

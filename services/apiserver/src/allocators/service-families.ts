import { isIP } from "node:net";
import { fieldInvalid, type StatusCause } from "@wherry/machinery";
import { noClusterIP, type ServiceSpec, type ServiceSpecDraft } from "./service-spec.ts";

export type AddressFamily = "IPv4" | "IPv6";

export function familyOf(ip: string): AddressFamily {
  return isIP(ip) === 6 ? "IPv6" : "IPv4";
}

/**
 * Fills in ipFamilyPolicy and ipFamilies of a service that has addresses or is headless. Answers what is wrong with the wish; `configured` holds the cluster's
 * families, its default first.
 */
export function settleFamilies(
  spec: ServiceSpecDraft,
  old: ServiceSpec | undefined,
  configured: readonly AddressFamily[],
): readonly StatusCause[] {
  const headlessWithoutSelector =
    spec.clusterIP === noClusterIP && Object.keys(spec.selector ?? {}).length === 0;
  spec.ipFamilyPolicy ??=
    old?.ipFamilyPolicy ?? (headlessWithoutSelector ? "RequireDualStack" : "SingleStack");
  const causes: StatusCause[] = [];
  const policyCause = (detail: string): void => {
    causes.push(fieldInvalid("spec.ipFamilyPolicy", spec.ipFamilyPolicy, detail));
  };

  if (spec.ipFamilyPolicy === "SingleStack") {
    if (
      old !== undefined &&
      (spec.clusterIPs?.length ?? 0) > 1 &&
      same(spec.clusterIPs, old.clusterIPs)
    )
      spec.clusterIPs = spec.clusterIPs?.slice(0, 1) ?? [];
    if (
      old !== undefined &&
      (spec.ipFamilies?.length ?? 0) > 1 &&
      same(spec.ipFamilies, old.ipFamilies)
    )
      spec.ipFamilies = spec.ipFamilies?.slice(0, 1) ?? [];
    if (spec.clusterIPs?.length === 2)
      policyCause(
        "must be 'RequireDualStack' or 'PreferDualStack' when multiple cluster IPs are specified",
      );
    if (spec.ipFamilies?.length === 2)
      policyCause(
        "must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are specified",
      );
  }
  const families = [...(spec.ipFamilies ?? [])];
  for (const [index, ip] of (spec.clusterIPs ?? []).entries()) {
    if (ip === noClusterIP) break;
    if (index < families.length || isIP(ip) === 0) continue;
    const family = familyOf(ip);
    if (configured.includes(family)) families.push(family);
    else
      causes.push(
        fieldInvalid(
          `spec.clusterIPs[${index}]`,
          spec.clusterIPs,
          `${family} is not configured on this cluster`,
        ),
      );
  }
  if (causes.length > 0) return causes;

  if (headlessWithoutSelector) {
    if (families.length === 0) families.push(configured[0] ?? "IPv4");
    if (families.length === 1 && spec.ipFamilyPolicy !== "SingleStack")
      families.push(families[0] === "IPv4" ? "IPv6" : "IPv4");
    spec.ipFamilies = families;
    return [];
  }

  if (spec.ipFamilyPolicy === "RequireDualStack" && configured.length < 2)
    policyCause("this cluster is not configured for dual-stack services");
  for (const [index, family] of families.entries()) {
    if (!configured.includes(family as AddressFamily))
      causes.push(
        fieldInvalid(`spec.ipFamilies[${index}]`, family, "not configured on this cluster"),
      );
  }
  if (causes.length > 0) return causes;
  if (families.length === 0) families.push(configured[0] ?? "IPv4");
  if (spec.ipFamilyPolicy !== "SingleStack" && families.length === 1)
    families.push(...configured.filter((family) => family !== families[0]));
  spec.ipFamilies = families;
  return [];
}

function same(left: readonly string[] | undefined, right: readonly string[] | undefined): boolean {
  return JSON.stringify(left ?? []) === JSON.stringify(right ?? []);
}

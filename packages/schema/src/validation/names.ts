import { dnsLabelErrors, dnsSubdomainErrors } from "@wherry/machinery";

/** Rules for names; each gives upstream's texts, none for a valid name. */
export type NameRule = (name: string) => readonly string[];

/** Names that are one segment of a path and nothing else. */
export const pathSegmentErrors: NameRule = (name) => {
  if (name === "." || name === "..") return [`may not be '${name}'`];
  return ["/", "%"]
    .filter((part) => name.includes(part))
    .map((part) => `may not contain '${part}'`);
};

const rules: Readonly<Record<string, NameRule>> = {
  "/Namespace": dnsLabelErrors,
  "/Service": dnsLabelErrors,
  "rbac.authorization.k8s.io/Role": pathSegmentErrors,
  "rbac.authorization.k8s.io/RoleBinding": pathSegmentErrors,
  "rbac.authorization.k8s.io/ClusterRole": pathSegmentErrors,
  "rbac.authorization.k8s.io/ClusterRoleBinding": pathSegmentErrors,
  "apiregistration.k8s.io/APIService": pathSegmentErrors,
  "networking.k8s.io/IPAddress": () => [],
};

export function nameRuleOf(group: string, kind: string): NameRule {
  return rules[`${group}/${kind}`] ?? dnsSubdomainErrors;
}

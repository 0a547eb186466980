import type { KubeObject } from "@wherry/machinery";
import type { PolicyRule } from "../auth/policy-rule.ts";

interface Role extends KubeObject {
  readonly rules?: readonly PolicyRule[] | null;
}

/** Rules of the default role that the stored one lacks; none when its owner has switched updates off. */
export function missingRules(current: KubeObject, wanted: KubeObject): readonly PolicyRule[] {
  if (current.metadata.annotations?.["rbac.authorization.kubernetes.io/autoupdate"] !== "true")
    return [];
  const known = new Set(((current as Role).rules ?? []).map(ruleKey));
  return ((wanted as Role).rules ?? []).filter((rule) => !known.has(ruleKey(rule)));
}

function ruleKey(rule: PolicyRule): string {
  const fields = [
    rule.verbs,
    rule.apiGroups,
    rule.resources,
    rule.resourceNames,
    rule.nonResourceURLs,
  ];
  return JSON.stringify(fields.map((field) => [...(field ?? [])].sort()));
}

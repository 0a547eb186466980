import { isDeepStrictEqual } from "node:util";
import { newForbidden, type UserInfo } from "@wherry/machinery";
import type { AdmissionPlugin, AdmissionRequest } from "../chain.ts";
import type { Authorization } from "../auth/authorization.ts";
import type { PolicyRule } from "../auth/policy-rule.ts";
import { mastersGroup } from "../auth/well-known-users.ts";

const rbacGroup = "rbac.authorization.k8s.io";

interface RoleDraft {
  readonly rules?: readonly PolicyRule[] | null;
  readonly aggregationRule?: object;
  readonly roleRef?: { readonly kind?: string; readonly name?: string };
}

/** Nobody gives what they have not: roles and bindings may hold only rules that their writer has, unless it may `escalate` or `bind`. */
export function createRoleEscalationCheck(authorization: Authorization): AdmissionPlugin {
  return {
    name: "RoleEscalation",
    validate(request) {
      const { group, resource } = request.definition;
      if (
        group !== rbacGroup ||
        request.draft === undefined ||
        request.subresource !== "" ||
        request.user.groups.includes(mastersGroup)
      )
        return;
      const draft = request.draft as unknown as RoleDraft;
      if (
        request.old !== undefined &&
        isDeepStrictEqual(essence(draft), essence(request.old as RoleDraft))
      )
        return;
      if (resource === "roles" || resource === "clusterroles")
        checkRole(request, draft, authorization);
      else if (resource === "rolebindings" || resource === "clusterrolebindings")
        checkBinding(request, draft, authorization);
    },
  };
}

function essence({
  rules,
  aggregationRule,
  roleRef,
  ...rest
}: RoleDraft & { readonly subjects?: unknown }): readonly unknown[] {
  return [rules ?? [], aggregationRule ?? null, roleRef ?? null, rest.subjects ?? []];
}

function checkRole(
  request: AdmissionRequest,
  draft: RoleDraft,
  authorization: Authorization,
): void {
  const { resource } = request.definition;
  if (may(request, authorization, "escalate", resource, request.name || nameOf(request))) return;
  const wanted = [
    ...(draft.rules ?? []),
    ...(draft.aggregationRule === undefined
      ? []
      : [{ verbs: ["*"], apiGroups: ["*"], resources: ["*"] }]),
  ];
  assertCovered(request, wanted, authorization);
}

function checkBinding(
  request: AdmissionRequest,
  draft: RoleDraft,
  authorization: Authorization,
): void {
  const clusterRole = draft.roleRef?.kind === "ClusterRole";
  const name = draft.roleRef?.name ?? "";
  if (may(request, authorization, "bind", clusterRole ? "clusterroles" : "roles", name)) return;
  const rules = authorization.roleRules(clusterRole ? "" : request.namespace, name);
  if (rules === undefined)
    throw newForbiddenFor(
      request,
      `${clusterRole ? "clusterrole" : "role"}.${rbacGroup} "${name}" not found`,
    );
  assertCovered(request, rules, authorization);
}

function may(
  { user, namespace }: AdmissionRequest,
  authorization: Authorization,
  verb: string,
  resource: string,
  name: string,
): boolean {
  return (
    authorization.authorize({
      user,
      verb,
      isResourceRequest: true,
      apiGroup: rbacGroup,
      apiVersion: "v1",
      resource,
      subresource: "",
      namespace,
      name,
      path: "",
    }).decision === "allow"
  );
}

function assertCovered(
  request: AdmissionRequest,
  wanted: readonly PolicyRule[],
  authorization: Authorization,
): void {
  const own = authorization
    .rulesOf(request.user, request.namespace)
    .grants.flatMap((grant) => grant.rules);
  const missing = wanted.flatMap(atoms).filter((atom) => !own.some((rule) => covers(rule, atom)));
  if (missing.length === 0) return;
  throw newForbiddenFor(
    request,
    `${goUser(request.user)} is attempting to grant RBAC permissions not currently held:\n${missing.map(describe).join("\n")}`,
  );
}

/** A rule as single permissions: one verb on one resource (or path) each. */
function atoms(rule: PolicyRule): readonly PolicyRule[] {
  const result: PolicyRule[] = [];
  for (const verb of rule.verbs ?? []) {
    for (const url of rule.nonResourceURLs ?? [])
      result.push({ verbs: [verb], nonResourceURLs: [url] });
    for (const group of rule.apiGroups ?? []) {
      for (const resource of rule.resources ?? []) {
        const names = rule.resourceNames ?? [];
        const base = { verbs: [verb], apiGroups: [group], resources: [resource] };
        if (names.length === 0) result.push(base);
        else result.push(...names.map((name) => ({ ...base, resourceNames: [name] })));
      }
    }
  }
  return result;
}

function covers(rule: PolicyRule, atom: PolicyRule): boolean {
  const has = (list: readonly string[] | undefined, value: string | undefined): boolean =>
    value !== undefined && (list?.includes("*") || list?.includes(value) || false);
  if (!has(rule.verbs, atom.verbs?.[0])) return false;
  const url = atom.nonResourceURLs?.[0];
  if (url !== undefined) {
    return (
      rule.nonResourceURLs?.some(
        (pattern) =>
          pattern === "*" ||
          pattern === url ||
          (pattern.endsWith("*") && url.startsWith(pattern.slice(0, -1))),
      ) ?? false
    );
  }
  const resource = atom.resources?.[0] ?? "";
  const slash = resource.indexOf("/");
  const anySubresource = slash < 0 ? undefined : `*${resource.slice(slash)}`;
  const name = atom.resourceNames?.[0];
  return (
    has(rule.apiGroups, atom.apiGroups?.[0]) &&
    (has(rule.resources, resource) || has(rule.resources, anySubresource)) &&
    ((rule.resourceNames ?? []).length === 0 ||
      (name !== undefined && rule.resourceNames?.includes(name) === true))
  );
}

function describe(atom: PolicyRule): string {
  const list = (values: readonly string[] | undefined): string =>
    (values ?? []).map((value) => JSON.stringify(value)).join(", ");
  if (atom.nonResourceURLs !== undefined)
    return `{NonResourceURLs:[${list(atom.nonResourceURLs)}], Verbs:[${list(atom.verbs)}]}`;
  const names =
    atom.resourceNames === undefined ? "" : `, ResourceNames:[${list(atom.resourceNames)}]`;
  return `{APIGroups:[${list(atom.apiGroups)}], Resources:[${list(atom.resources)}]${names}, Verbs:[${list(atom.verbs)}]}`;
}

function goUser(user: UserInfo): string {
  return `user "${user.name}" (groups=[${user.groups.map((group) => JSON.stringify(group)).join(" ")}])`;
}

function nameOf(request: AdmissionRequest): string {
  return String(request.draft?.metadata["name"] ?? "");
}

function newForbiddenFor(request: AdmissionRequest, why: string): Error {
  return newForbidden(
    { group: rbacGroup, resource: request.definition.resource },
    request.name || nameOf(request),
    why,
  );
}

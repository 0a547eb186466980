import {
  labelSelectorFrom,
  type KubeObject,
  type LabelSelector,
  type UserInfo,
} from "@wherry/machinery";
import type { AuthorizationAttributes, AuthorizationDecision } from "../chain.ts";
import type { ObjectStore } from "../object-store.ts";
import { ruleAllows, type PolicyRule } from "./policy-rule.ts";
import { resourceIds } from "./resource-ids.ts";
import { serviceAccountUserName } from "./well-known-users.ts";

export interface Subject {
  readonly kind: string;
  readonly name: string;
  readonly namespace?: string;
}

interface RoleRef {
  readonly kind: string;
  readonly name: string;
}

interface Role extends KubeObject {
  readonly rules?: readonly PolicyRule[] | null;
  readonly aggregationRule?: { readonly clusterRoleSelectors?: readonly LabelSelector[] };
}

interface Binding extends KubeObject {
  readonly roleRef: RoleRef;
  readonly subjects?: readonly Subject[];
}

/** Rules that a subject has by one binding; `namespace` "" = everywhere. */
export interface Grant {
  readonly namespace: string;
  readonly rules: readonly PolicyRule[];
  readonly reason: string;
}

/** Bindings beside the stored ones: they say what the cluster's own components may do and cannot be taken away through the API. */
export interface BuiltInGrant {
  readonly subject: Subject;
  /** A ClusterRole's name; ending in `*` = all whose names begin so. */
  readonly clusterRole: string;
}

export interface RbacAuthorizer {
  authorize(attributes: AuthorizationAttributes): AuthorizationDecision;
  /** What `user` has in `namespace` ("" = at cluster scope only). */
  grantsOf(user: UserInfo, namespace: string): readonly Grant[];
  /** The rules of a ClusterRole (`namespace` "") or a Role, aggregated ones included; undefined when there is no such role. */
  roleRules(namespace: string, name: string): readonly PolicyRule[] | undefined;
  close(): void;
}

interface Compiled {
  readonly grants: ReadonlyMap<string, readonly Grant[]>;
  /** By `namespace/name`; cluster roles by `/name`. */
  readonly rules: ReadonlyMap<string, readonly PolicyRule[]>;
}

/**
 * Role-based access from the stored Roles and bindings. They are compiled into grants per subject when one of them has changed and a
 * request asks; a request then costs a look-up per group of its user.
 */
export function createRbacAuthorizer(
  store: Pick<ObjectStore, "peekAll" | "subscribe">,
  builtIn: readonly BuiltInGrant[] = [],
): RbacAuthorizer {
  let compiled: Compiled | undefined;
  const forget = (): void => {
    compiled = undefined;
  };
  const watched = [
    resourceIds.clusterRoles,
    resourceIds.clusterRoleBindings,
    resourceIds.roles,
    resourceIds.roleBindings,
  ];
  const ends = watched.map((resource) => store.subscribe(resource, forget));

  const current = (): Compiled => (compiled ??= compile(store, builtIn));
  const grantsOf = (user: UserInfo, namespace: string): readonly Grant[] => {
    const { grants } = current();
    return [`User:${user.name}`, ...user.groups.map((group) => `Group:${group}`)]
      .flatMap((key) => grants.get(key) ?? [])
      .filter((grant) => grant.namespace === "" || grant.namespace === namespace);
  };

  return {
    grantsOf,
    roleRules: (namespace, name) => current().rules.get(`${namespace}/${name}`),
    authorize(attributes) {
      const grant = grantsOf(attributes.user, attributes.namespace).find((candidate) =>
        candidate.rules.some((rule) => ruleAllows(rule, attributes)),
      );
      return grant === undefined
        ? { decision: "noOpinion", reason: "" }
        : { decision: "allow", reason: grant.reason };
    },
    close() {
      for (const end of ends) end();
    },
  };
}

function compile(store: Pick<ObjectStore, "peekAll">, builtIn: readonly BuiltInGrant[]): Compiled {
  const clusterRoles = store.peekAll<Role>(resourceIds.clusterRoles);
  const rulesByName = new Map<string, readonly PolicyRule[]>();
  for (const role of clusterRoles)
    rulesByName.set(`/${role.metadata.name}`, rulesOf(role, clusterRoles));
  for (const role of store.peekAll<Role>(resourceIds.roles))
    rulesByName.set(`${role.metadata.namespace}/${role.metadata.name}`, role.rules ?? []);
  const grants = new Map<string, Grant[]>();

  const add = (
    subject: Subject,
    bindingNamespace: string,
    rules: readonly PolicyRule[],
    binding: string,
    roleRef: RoleRef,
  ): void => {
    const key = subjectKey(subject, bindingNamespace);
    if (key === undefined) return;
    const grant = {
      namespace: bindingNamespace,
      rules,
      reason: `RBAC: allowed by ${binding} of ${roleRef.kind} "${roleRef.name}" to ${describe(subject, bindingNamespace)}`,
    };
    const known = grants.get(key);
    if (known === undefined) grants.set(key, [grant]);
    else known.push(grant);
  };

  for (const binding of store.peekAll<Binding>(resourceIds.clusterRoleBindings)) {
    const rules = rulesByName.get(`/${binding.roleRef.name}`) ?? [];
    for (const subject of binding.subjects ?? [])
      add(subject, "", rules, `ClusterRoleBinding "${binding.metadata.name}"`, binding.roleRef);
  }
  for (const binding of store.peekAll<Binding>(resourceIds.roleBindings)) {
    const namespace = binding.metadata.namespace ?? "";
    const rules = rulesByName.get(
      `${binding.roleRef.kind === "ClusterRole" ? "" : namespace}/${binding.roleRef.name}`,
    );
    for (const subject of binding.subjects ?? []) {
      add(
        subject,
        namespace,
        rules ?? [],
        `RoleBinding "${binding.metadata.name}/${namespace}"`,
        binding.roleRef,
      );
    }
  }
  for (const { subject, clusterRole } of builtIn) {
    for (const { metadata } of clusterRoles) {
      const name = metadata.name ?? "";
      const matches = clusterRole.endsWith("*")
        ? name.startsWith(clusterRole.slice(0, -1))
        : name === clusterRole;
      if (matches)
        add(subject, "", rulesByName.get(`/${name}`) ?? [], "built-in binding", {
          kind: "ClusterRole",
          name,
        });
    }
  }
  return { grants, rules: rulesByName };
}

/** An aggregated role has the rules of all roles that its selectors choose, beside those that are stored in it. */
function rulesOf(
  role: Role,
  clusterRoles: readonly Role[],
  visited: ReadonlySet<Role> = new Set(),
): readonly PolicyRule[] {
  const stored = role.rules ?? [];
  const selectors = role.aggregationRule?.clusterRoleSelectors?.map(labelSelectorFrom) ?? [];
  if (selectors.length === 0 || visited.has(role)) return stored;
  const seen = new Set([...visited, role]);
  const chosen = clusterRoles.filter(
    (other) =>
      other !== role && selectors.some((selector) => selector.matches(other.metadata.labels ?? {})),
  );
  return [...stored, ...chosen.flatMap((other) => rulesOf(other, clusterRoles, seen))];
}

function subjectKey(subject: Subject, bindingNamespace: string): string | undefined {
  switch (subject.kind) {
    case "User":
      return `User:${subject.name}`;
    case "Group":
      return `Group:${subject.name}`;
    case "ServiceAccount": {
      const namespace = subject.namespace || bindingNamespace;
      return namespace === ""
        ? undefined
        : `User:${serviceAccountUserName({ namespace, name: subject.name })}`;
    }
    default:
      return undefined;
  }
}

function describe(subject: Subject, bindingNamespace: string): string {
  if (subject.kind !== "ServiceAccount") return `${subject.kind} "${subject.name}"`;
  return `ServiceAccount "${subject.name}/${subject.namespace || bindingNamespace}"`;
}

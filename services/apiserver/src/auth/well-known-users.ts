/** Names of users and groups that Kubernetes gives a meaning (k8s.io/apiserver/pkg/authentication/user). */
export const anonymousUser = "system:anonymous";
export const mastersGroup = "system:masters";
export const authenticatedGroup = "system:authenticated";
export const unauthenticatedGroup = "system:unauthenticated";
export const nodesGroup = "system:nodes";
export const nodeUserPrefix = "system:node:";
export const bootstrappersGroup = "system:bootstrappers";
export const bootstrapUserPrefix = "system:bootstrap:";
export const serviceAccountsGroup = "system:serviceaccounts";
export const serviceAccountUserPrefix = "system:serviceaccount:";
/** Extra key that tells which credential was used ("X509SHA256=…", "JTI=…"). */
export const credentialIdKey = "authentication.kubernetes.io/credential-id";

export interface ServiceAccountName {
  readonly namespace: string;
  readonly name: string;
}

export function serviceAccountUserName(account: ServiceAccountName): string {
  return `${serviceAccountUserPrefix}${account.namespace}:${account.name}`;
}

export function serviceAccountGroups(namespace: string): readonly string[] {
  return [serviceAccountsGroup, `${serviceAccountsGroup}:${namespace}`];
}

/** undefined when the user is no service account. */
export function serviceAccountFromUserName(user: string): ServiceAccountName | undefined {
  if (!user.startsWith(serviceAccountUserPrefix)) return undefined;
  const parts = user.slice(serviceAccountUserPrefix.length).split(":");
  const [namespace, name] = parts;
  return parts.length === 2 &&
    namespace !== undefined &&
    name !== undefined &&
    namespace !== "" &&
    name !== ""
    ? { namespace, name }
    : undefined;
}

/** The node that a user is the kubelet of; undefined for everybody else. */
export function nodeFromUser(user: {
  readonly name: string;
  readonly groups: readonly string[];
}): string | undefined {
  if (!user.name.startsWith(nodeUserPrefix) || !user.groups.includes(nodesGroup)) return undefined;
  return user.name.slice(nodeUserPrefix.length) || undefined;
}

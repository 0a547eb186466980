import { newBadRequest, type UserInfo } from "@wherry/machinery";
import type { AuthorizationAttributes, Authorizer } from "../chain.ts";
import type { Exchange } from "../exchange.ts";
import { forbidden } from "./authorization.ts";
import { headersWithPrefix, headerValues } from "./request-headers.ts";
import {
  anonymousUser,
  authenticatedGroup,
  serviceAccountFromUserName,
  serviceAccountGroups,
  unauthenticatedGroup,
} from "./well-known-users.ts";

type ImpersonationHeaders = Pick<Exchange, "headers" | "httpRequest">;

/**
 * `Impersonate-User`, `-Uid`, `-Group` and `-Extra-*`: the caller acts as somebody else if it may `impersonate` each part of that identity.
 * Answers the user that the rest of the chain sees, which is the caller itself when no such header was sent.
 */
export async function impersonate(
  exchange: ImpersonationHeaders,
  caller: UserInfo,
  authorizer: Authorizer,
): Promise<UserInfo> {
  const request = {
    rawHeaders: exchange.httpRequest?.rawHeaders ?? rawHeadersOf(exchange.headers),
  };
  const name = headerValues(request, "impersonate-user")[0] ?? "";
  const uid = headerValues(request, "impersonate-uid")[0] ?? "";
  const groups = headerValues(request, "impersonate-group");
  const extra = headersWithPrefix(request, "impersonate-extra-");
  if (name === "" && uid === "" && groups.length === 0 && extra.size === 0) return caller;
  if (name === "")
    throw newBadRequest(
      `requested ${goUserInfo(uid, groups, extra)} without impersonating a user name`,
    );

  const may = async (part: Partial<AuthorizationAttributes>): Promise<void> => {
    const attributes: AuthorizationAttributes = {
      user: caller,
      verb: "impersonate",
      isResourceRequest: true,
      apiGroup: "",
      apiVersion: "",
      resource: "",
      subresource: "",
      namespace: "",
      name: "",
      path: "",
      ...part,
    };
    const decision = await authorizer.authorize(attributes);
    if (decision.decision !== "allow") throw forbidden(attributes, decision.reason);
  };

  const account = serviceAccountFromUserName(name);
  await may(
    account === undefined
      ? { resource: "users", name }
      : { resource: "serviceaccounts", namespace: account.namespace, name: account.name },
  );
  if (uid !== "")
    await may({ apiGroup: "authentication.k8s.io", apiVersion: "v1", resource: "uids", name: uid });
  for (const group of groups) await may({ resource: "groups", name: group });
  for (const [key, values] of extra) {
    for (const value of values)
      await may({
        apiGroup: "authentication.k8s.io",
        apiVersion: "v1",
        resource: "userextras",
        subresource: key,
        name: value,
      });
  }

  return {
    name,
    groups: effectiveGroups(name, groups, account?.namespace),
    ...(uid === "" ? {} : { uid }),
    ...(extra.size === 0 ? {} : { extra: Object.fromEntries(extra) }),
  };
}

/** A service account that is impersonated without groups gets those it always has. */
function effectiveGroups(
  name: string,
  groups: readonly string[],
  accountNamespace: string | undefined,
): readonly string[] {
  const own =
    groups.length === 0 && accountNamespace !== undefined
      ? serviceAccountGroups(accountNamespace)
      : groups;
  if (name === anonymousUser)
    return own.includes(unauthenticatedGroup) ? own : [...own, unauthenticatedGroup];
  return own.includes(authenticatedGroup) || own.includes(unauthenticatedGroup)
    ? own
    : [...own, authenticatedGroup];
}

function rawHeadersOf(headers: Exchange["headers"]): string[] {
  return Object.entries(headers).flatMap(([name, value]) =>
    value === undefined
      ? []
      : typeof value === "string"
        ? [name, value]
        : value.flatMap((line) => [name, line]),
  );
}

/** How Go prints the identity in upstream's message. */
function goUserInfo(
  uid: string,
  groups: readonly string[],
  extra: ReadonlyMap<string, readonly string[]>,
): string {
  const list = (values: readonly string[]): string =>
    values.map((value) => JSON.stringify(value)).join(", ");
  const groupText = groups.length === 0 ? "[]string(nil)" : `[]string{${list(groups)}}`;
  const extraText =
    extra.size === 0
      ? "map[string][]string(nil)"
      : `map[string][]string{${[...extra]
          .toSorted(([one], [other]) => (one < other ? -1 : 1))
          .map(([key, values]) => `${JSON.stringify(key)}:[]string{${list(values)}}`)
          .join(", ")}}`;
  return `&user.DefaultInfo{Name:"", UID:${JSON.stringify(uid)}, Groups:${groupText}, Extra:${extraText}}`;
}

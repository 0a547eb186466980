import { createHash } from "node:crypto";
import type { UserInfo } from "@wherry/machinery";
import type { TokenAuthenticator } from "./bearer-token-authenticator.ts";

export interface StaticToken {
  readonly token: string;
  readonly user: UserInfo;
}

/** Tokens that were given at start. They are kept as digests, so that neither comparison time nor a memory dump tells one. */
export function createStaticTokenAuthenticator(tokens: readonly StaticToken[]): TokenAuthenticator {
  const users = new Map(tokens.map(({ token, user }) => [digest(token), user]));
  return {
    async authenticateToken(token, audiences) {
      const user = users.get(digest(token));
      return user === undefined ? undefined : { user, audiences };
    },
  };
}

function digest(token: string): string {
  return createHash("sha256").update(token).digest("base64");
}

/** A token file as kube-apiserver's --token-auth-file: lines of `token,user,uid,"group1,group2"`; `file` names it in errors. */
export function parseTokenFile(text: string, file: string): readonly StaticToken[] {
  const tokens: StaticToken[] = [];
  for (const [index, line] of text.split("\n").entries()) {
    if (line.trim() === "" || line.startsWith("#")) continue;
    const [token = "", name = "", uid = "", groups = ""] = splitRecord(line.trim());
    if (token === "" || name === "") {
      throw new TypeError(
        `${file}:${index + 1}: a token line needs at least token, user name and user id, separated by commas`,
      );
    }
    tokens.push({
      token,
      user: {
        name,
        ...(uid === "" ? {} : { uid }),
        groups: groups
          .split(",")
          .map((group) => group.trim())
          .filter(Boolean),
      },
    });
  }
  return tokens;
}

/** One CSV record; a quoted field may hold commas, and `""` for a quote. */
function splitRecord(line: string): readonly string[] {
  const fields: string[] = [];
  for (const match of line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g)) {
    fields.push((match[1]?.replaceAll('""', '"') ?? match[2] ?? "").trim());
  }
  return fields;
}

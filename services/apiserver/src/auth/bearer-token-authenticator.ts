import type { UserInfo } from "@wherry/machinery";
import type { Authenticator } from "../chain.ts";
import { headerValues } from "./request-headers.ts";
import { unauthorized } from "./unauthorized.ts";

export interface AuthenticatedToken {
  readonly user: UserInfo;
  /** Those of the wanted audiences that the token is for. */
  readonly audiences: readonly string[];
}

/** One kind of bearer token. */
export interface TokenAuthenticator {
  /** undefined = not a token of this kind; throws for one of this kind that is not good. */
  authenticateToken(
    token: string,
    audiences: readonly string[],
  ): Promise<AuthenticatedToken | undefined>;
}

const webSocketTokenPrefix = "base64url.bearer.authorization.k8s.io.";

/** Asks each kind in turn. The first that knows the token wins; the first complaint is thrown when none does. */
export function createTokenUnion(
  authenticators: readonly TokenAuthenticator[],
): TokenAuthenticator {
  return {
    async authenticateToken(token, audiences) {
      let failure: unknown;
      for (const authenticator of authenticators) {
        try {
          const found = await authenticator.authenticateToken(token, audiences);
          if (found !== undefined) return found;
        } catch (error) {
          failure ??= error;
        }
      }
      if (failure !== undefined) throw failure;
      return undefined;
    },
  };
}

/** `Authorization: Bearer …`, and for browsers' WebSockets, which cannot set headers, a token in the subprotocol list. */
export function createBearerTokenAuthenticator(
  tokens: TokenAuthenticator,
  audiences: readonly string[],
): Authenticator {
  return {
    async authenticate(request) {
      const token = bearerToken(request) ?? webSocketToken(request);
      if (token === undefined) return undefined;
      const found = await tokens.authenticateToken(token, audiences);
      if (found === undefined) throw unauthorized("invalid bearer token");
      return found.user;
    },
  };
}

function bearerToken(request: Parameters<Authenticator["authenticate"]>[0]): string | undefined {
  const value = headerValues(request, "authorization")[0]?.trim() ?? "";
  const space = value.indexOf(" ");
  if (space < 0 || value.slice(0, space).toLowerCase() !== "bearer") return undefined;
  return value.slice(space + 1).trim() || undefined;
}

function webSocketToken(request: Parameters<Authenticator["authenticate"]>[0]): string | undefined {
  if (headerValues(request, "upgrade")[0]?.toLowerCase() !== "websocket") return undefined;
  const protocols = headerValues(request, "sec-websocket-protocol").flatMap((value) =>
    value.split(",").map((part) => part.trim()),
  );
  const encoded = protocols
    .find((protocol) => protocol.startsWith(webSocketTokenPrefix))
    ?.slice(webSocketTokenPrefix.length);
  return encoded === undefined
    ? undefined
    : Buffer.from(encoded, "base64url").toString("utf8") || undefined;
}

/** The subprotocol list without the token, for requests that are passed on; undefined when nothing is left of it. */
export function withoutWebSocketToken(value: string): string | undefined {
  const kept = value
    .split(",")
    .map((part) => part.trim())
    .filter((part) => !part.startsWith(webSocketTokenPrefix));
  return kept.length === 0 ? undefined : kept.join(", ");
}

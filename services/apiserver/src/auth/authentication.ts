import type { UserInfo } from "@wherry/machinery";
import type { Clock } from "@wherry/service-kit";
import type { Authenticator } from "../chain.ts";
import type { ObjectStore } from "../object-store.ts";
import {
  createBearerTokenAuthenticator,
  createTokenUnion,
  type TokenAuthenticator,
} from "./bearer-token-authenticator.ts";
import { createBootstrapTokenAuthenticator } from "./bootstrap-tokens.ts";
import {
  createRequestHeaderAuthenticator,
  type RequestHeaderOptions,
} from "./request-header-authenticator.ts";
import { createServiceAccountAuthenticator } from "./service-account-authenticator.ts";
import type { TokenIssuer } from "./service-account-tokens.ts";
import { createStaticTokenAuthenticator, type StaticToken } from "./static-tokens.ts";
import { unauthorized } from "./unauthorized.ts";
import { anonymousUser, authenticatedGroup, unauthenticatedGroup } from "./well-known-users.ts";
import { createX509Authenticator } from "./x509-authenticator.ts";

export interface AuthenticationOptions {
  readonly clock: Clock;
  readonly store: Pick<ObjectStore, "get" | "peek">;
  /** PEM bundle; absent = client certificates are not accepted. */
  readonly clientCa?: string;
  /** Absent = nobody may speak for others in headers. */
  readonly requestHeader?: RequestHeaderOptions;
  readonly staticTokens: readonly StaticToken[];
  /** Absent = tokens of service accounts are not accepted. */
  readonly issuer?: TokenIssuer;
  /** What tokens without a narrower audience are for. */
  readonly apiAudiences: readonly string[];
  readonly bootstrapTokens: boolean;
  /** True = a request without credentials is `system:anonymous`; false = it gets 401. */
  readonly anonymous: boolean;
}

export interface Authentication {
  /** Never undefined: throws 401 for bad credentials, and for none when anonymous access is off. */
  authenticate(request: Parameters<Authenticator["authenticate"]>[0]): Promise<UserInfo>;
  /** All kinds of bearer tokens, for TokenReview. */
  readonly tokens: TokenAuthenticator;
}

/**
 * Who is asking. The first method that knows the caller wins: front proxy, client certificate, bearer token. Credentials that were shown and
 * are wrong end in 401 rather than in an anonymous request.
 */
export function createAuthentication(options: AuthenticationOptions): Authentication {
  const kinds: TokenAuthenticator[] = [];
  if (options.staticTokens.length > 0)
    kinds.push(createStaticTokenAuthenticator(options.staticTokens));
  if (options.issuer !== undefined)
    kinds.push(
      createServiceAccountAuthenticator({
        issuer: options.issuer,
        store: options.store,
        clock: options.clock,
      }),
    );
  if (options.bootstrapTokens)
    kinds.push(createBootstrapTokenAuthenticator(options.store, options.clock));
  const tokens = createTokenUnion(kinds);

  const methods: Authenticator[] = [];
  if (options.requestHeader !== undefined)
    methods.push(createRequestHeaderAuthenticator(options.requestHeader, options.clock));
  if (options.clientCa !== undefined)
    methods.push(createX509Authenticator({ clientCa: options.clientCa, clock: options.clock }));
  methods.push(createBearerTokenAuthenticator(tokens, options.apiAudiences));

  return {
    tokens,
    async authenticate(request) {
      let failure: unknown;
      for (const method of methods) {
        try {
          const user = await method.authenticate(request);
          if (user !== undefined) return withAuthenticatedGroup(user);
        } catch (error) {
          failure ??= error;
        }
      }
      if (failure !== undefined)
        throw unauthorized(
          failure instanceof Error ? failure.message : "credentials were refused",
          failure,
        );
      if (!options.anonymous)
        throw unauthorized("no credentials were given and anonymous access is off");
      return { name: anonymousUser, groups: [unauthenticatedGroup] };
    },
  };
}

/** Everybody who is somebody is in `system:authenticated`. */
export function withAuthenticatedGroup(user: UserInfo): UserInfo {
  if (
    user.name === anonymousUser ||
    user.groups.includes(authenticatedGroup) ||
    user.groups.includes(unauthenticatedGroup)
  )
    return user;
  return { ...user, groups: [...user.groups, authenticatedGroup] };
}

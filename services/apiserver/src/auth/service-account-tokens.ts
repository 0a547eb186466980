import { createHash, randomUUID } from "node:crypto";
import type { Clock } from "@wherry/service-kit";
import {
  signBytes,
  verifyBytes,
  type SigningKey,
  type VerificationKey,
} from "./service-account-keys.ts";
import { serviceAccountUserName } from "./well-known-users.ts";

export interface ObjectIdentity {
  readonly name: string;
  readonly uid: string;
}

/** The private claim "kubernetes.io" of a bound token. */
export interface ServiceAccountClaim {
  readonly namespace: string;
  readonly serviceaccount: ObjectIdentity;
  readonly pod?: ObjectIdentity;
  readonly secret?: ObjectIdentity;
  readonly node?: ObjectIdentity;
  /** Seconds since the epoch after which the holder should have fetched a new one; set on tokens that live longer than was asked. */
  readonly warnafter?: number;
}

export interface ServiceAccountClaims {
  readonly aud: readonly string[];
  readonly exp: number;
  readonly iat: number;
  readonly nbf: number;
  readonly iss: string;
  readonly jti: string;
  readonly sub: string;
  readonly "kubernetes.io": ServiceAccountClaim;
}

export interface IssueRequest {
  readonly account: ServiceAccountClaim;
  readonly audiences: readonly string[];
  readonly expirationSeconds: number;
}

export interface TokenIssuerOptions {
  /** The first one is written into new tokens; all are accepted. */
  readonly issuers: readonly string[];
  readonly signingKey: SigningKey;
  readonly verificationKeys: readonly VerificationKey[];
  readonly clock: Clock;
}

/** A token that claims to be ours but is not good; `reason` is for the log. */
export class TokenRefused extends Error {
  constructor(reason: string) {
    super(reason);
    this.name = "TokenRefused";
  }
}

export interface TokenIssuer {
  issue(request: IssueRequest): string;
  /** undefined = a token of somebody else; throws TokenRefused for one that names our issuer and is wrong, expired or not yet valid. */
  verify(token: string): ServiceAccountClaims | undefined;
}

/** Remembered results of signature checks; the least recently added leaves first. */
const verifiedMax = 2048;
const tokenLengthMax = 16 * 1024;

/** Issues and checks the JWTs of service accounts. Whether the objects that a token is bound to still live is asked elsewhere, at every request. */
export function createTokenIssuer(options: TokenIssuerOptions): TokenIssuer {
  const keys = new Map(
    [options.signingKey.publicKey, ...options.verificationKeys].map((key) => [key.id, key]),
  );
  const verified = new Map<string, ServiceAccountClaims>();
  const issuer = options.issuers[0];
  if (issuer === undefined)
    throw new TypeError("service-account-issuer: at least one issuer is needed");

  return {
    issue({ account, audiences, expirationSeconds }) {
      const now = Math.floor(options.clock.now() / 1000);
      const claims: ServiceAccountClaims = {
        aud: audiences,
        exp: now + expirationSeconds,
        iat: now,
        iss: issuer,
        jti: randomUUID(),
        "kubernetes.io": account,
        nbf: now,
        sub: serviceAccountUserName({
          namespace: account.namespace,
          name: account.serviceaccount.name,
        }),
      };
      const head = encode({ alg: options.signingKey.algorithm, kid: options.signingKey.id });
      const signed = `${head}.${encode(claims)}`;
      return `${signed}.${signBytes(options.signingKey, Buffer.from(signed)).toString("base64url")}`;
    },

    verify(token) {
      if (token.length > tokenLengthMax) return undefined;
      const cacheKey = createHash("sha256").update(token).digest("base64");
      let claims = verified.get(cacheKey);
      if (claims === undefined) {
        claims = verifySignature(token, options.issuers, keys);
        if (claims === undefined) return undefined;
        verified.set(cacheKey, claims);
        if (verified.size > verifiedMax) verified.delete(verified.keys().next().value ?? cacheKey);
      }
      const now = options.clock.now() / 1000;
      if (now > claims.exp) {
        verified.delete(cacheKey);
        throw new TokenRefused("service account token has expired");
      }
      if (now < claims.nbf) throw new TokenRefused("service account token is not valid yet");
      return claims;
    },
  };
}

function verifySignature(
  token: string,
  issuers: readonly string[],
  keys: ReadonlyMap<string, VerificationKey>,
): ServiceAccountClaims | undefined {
  const [head = "", body = "", signature = "", rest] = token.split(".");
  if (rest !== undefined || signature === "") return undefined;
  const claims = decode(body);
  if (claims === undefined || typeof claims["iss"] !== "string" || !issuers.includes(claims["iss"]))
    return undefined;
  const header = decode(head) ?? {};
  const named = typeof header["kid"] === "string" ? keys.get(header["kid"]) : undefined;
  const signed = Buffer.from(`${head}.${body}`);
  const bytes = Buffer.from(signature, "base64url");
  const candidates = named === undefined ? keys.values() : [named];
  for (const key of candidates) {
    if (key.algorithm === header["alg"] && verifyBytes(key, signed, bytes)) return claimsOf(claims);
  }
  throw new TokenRefused("invalid signature");
}

function claimsOf(claims: Readonly<Record<string, unknown>>): ServiceAccountClaims {
  const account = claims["kubernetes.io"];
  const complete =
    typeof claims["sub"] === "string" &&
    typeof claims["exp"] === "number" &&
    typeof account === "object" &&
    account !== null &&
    "serviceaccount" in account &&
    "namespace" in account;
  if (!complete) throw new TokenRefused("token lacks the claims of a service account");
  const aud = claims["aud"];
  const result = {
    ...claims,
    aud: Array.isArray(aud) ? aud.map(String) : typeof aud === "string" ? [aud] : [],
    nbf: typeof claims["nbf"] === "number" ? claims["nbf"] : 0,
    jti: typeof claims["jti"] === "string" ? claims["jti"] : "",
  } as unknown as ServiceAccountClaims;
  const expected = serviceAccountUserName({
    namespace: result["kubernetes.io"].namespace,
    name: result["kubernetes.io"].serviceaccount.name,
  });
  if (result.sub !== expected) throw new TokenRefused("token's subject and service account differ");
  return result;
}

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}

function decode(part: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, "base64url").toString("utf8"));
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}

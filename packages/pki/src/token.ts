import { randomBytes } from "node:crypto";

/**
 * K3s' join tokens: `K10<sha256 of the CA>::<user>:<password>`, the same with `id.secret` of a bootstrap token behind the hash, and the short
 * forms without a hash (a bare password, or `id.secret`).
 */
export type JoinToken =
  | {
      readonly kind: "password";
      readonly caHash: string | undefined;
      readonly user: string;
      readonly password: string;
    }
  | {
      readonly kind: "bootstrap";
      readonly caHash: string | undefined;
      readonly id: string;
      readonly secret: string;
    };

export class TokenError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "TokenError";
  }
}

const PREFIX = "K10";
const HASH_LENGTH = 64;
const BOOTSTRAP = /^([a-z0-9]{6})\.([a-z0-9]{16})$/;

/** Throws TokenError saying what is wrong with the form; the message never repeats the secret. */
export function parseToken(text: string): JoinToken {
  const trimmed = text.trim();
  if (trimmed === "") throw new TokenError("the token is empty");
  if (!trimmed.startsWith(PREFIX)) return credentials(trimmed, undefined);
  const separator = trimmed.indexOf("::");
  if (separator < 0)
    throw new TokenError('the token begins with K10 but has no "::" behind the CA hash');
  const hash = trimmed.slice(PREFIX.length, separator);
  if (hash.length !== HASH_LENGTH || !/^[0-9a-f]+$/.test(hash))
    throw new TokenError("the token's CA hash must be 64 hexadecimal digits");
  const rest = trimmed.slice(separator + 2);
  if (rest === "") throw new TokenError("the token has no password behind the CA hash");
  return credentials(rest, hash);
}

function credentials(text: string, caHash: string | undefined): JoinToken {
  const bootstrap = BOOTSTRAP.exec(text);
  if (bootstrap !== null)
    return { kind: "bootstrap", caHash, id: bootstrap[1] ?? "", secret: bootstrap[2] ?? "" };
  const colon = text.indexOf(":");
  if (colon < 0) return { kind: "password", caHash, user: "", password: text };
  return { kind: "password", caHash, user: text.slice(0, colon), password: text.slice(colon + 1) };
}

export function formatToken(token: JoinToken): string {
  const head = token.caHash === undefined ? "" : `${PREFIX}${token.caHash}::`;
  if (token.kind === "bootstrap") return `${head}${token.id}.${token.secret}`;
  return `${head}${token.user === "" ? "" : `${token.user}:`}${token.password}`;
}

/** The Authorization header that the token's credentials make; an empty user is replaced by `defaultUser`. */
export function authorizationOf(token: JoinToken, defaultUser: string): string {
  if (token.kind === "bootstrap") return `Bearer ${token.id}.${token.secret}`;
  const user = token.user === "" ? defaultUser : token.user;
  return `Basic ${Buffer.from(`${user}:${token.password}`).toString("base64")}`;
}

/** A random password as K3s makes them: 16 bytes in hexadecimal. */
export function newPassword(): string {
  return randomBytes(16).toString("hex");
}

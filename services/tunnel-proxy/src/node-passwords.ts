import { randomBytes, scrypt, timingSafeEqual } from "node:crypto";
import { promisify } from "node:util";
import { resources, type ApiClient } from "@wherry/client";
import { isApiError, type KubeObject } from "@wherry/machinery";

/**
 * Binds a node's name to the password that its first join brought (K3s' node passwords): Secret kube-system/<node>.node-password.k3s, key `hash`, in the
 * form `$1:<salt>:<N>:<r>:<p>:<hash>` (hexadecimal salt, base64 hash).
 */
export type PasswordVerdict = "accepted" | "rejected" | "deferred";

export interface NodePasswords {
  /** `deferred` = the API cannot say right now (first start): the caller may go on and is checked at its next request. */
  check(node: string, password: string): Promise<PasswordVerdict>;
}

const COST = { N: 32_768, r: 8, p: 1 } as const;
const HASH_BYTES = 64;
const derive = promisify<
  string,
  Buffer,
  number,
  { N: number; r: number; p: number; maxmem: number },
  Buffer
>(scrypt);

export function createNodePasswords(api: ApiClient): NodePasswords {
  return {
    async check(node, password) {
      const name = `${node}.node-password.k3s`;
      try {
        const secret = await api.get<
          KubeObject & { readonly data?: Readonly<Record<string, string>> }
        >(resources.secrets, name, "kube-system");
        const stored = Buffer.from(secret.data?.["hash"] ?? "", "base64").toString();
        return (await matches(password, stored)) ? "accepted" : "rejected";
      } catch (error) {
        if (!isApiError(error, "NotFound")) return "deferred";
      }
      try {
        const hash = await hashPassword(password);
        const secret = {
          apiVersion: "v1",
          kind: "Secret",
          metadata: { name, namespace: "kube-system" },
          type: "Opaque",
          immutable: true,
          data: { hash: Buffer.from(hash).toString("base64") },
        };
        await api.create(resources.secrets, secret);
        return "accepted";
      } catch (error) {
        // Someone was faster: the name is taken, and the next look decides.
        return isApiError(error, "AlreadyExists") ? this.check(node, password) : "deferred";
      }
    },
  };
}

export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(8);
  const hash = await derive(password, salt, HASH_BYTES, { ...COST, maxmem: 64 * 1024 * 1024 });
  return `$1:${salt.toString("hex")}:${Math.log2(COST.N)}:${COST.r}:${COST.p}:${hash.toString("base64")}`;
}

/** N is stored as its logarithm. */
export async function matches(password: string, stored: string): Promise<boolean> {
  const [version, saltHex, logN, r, p, encoded] = stored.split(":");
  if (version !== "$1" || saltHex === undefined || encoded === undefined) return false;
  const expected = Buffer.from(encoded, "base64");
  const cost = { N: 2 ** Number(logN), r: Number(r), p: Number(p) };
  if (
    expected.length === 0 ||
    !(cost.N >= 2 && cost.N <= 2 ** 20) ||
    !(cost.r > 0) ||
    !(cost.p > 0)
  )
    return false;
  const hash = await derive(password, Buffer.from(saltHex, "hex"), expected.length, {
    ...cost,
    maxmem: 256 * cost.N * cost.r,
  });
  return timingSafeEqual(hash, expected);
}

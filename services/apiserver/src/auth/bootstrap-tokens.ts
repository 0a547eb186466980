import { createHash, timingSafeEqual } from "node:crypto";
import type { KubeObject } from "@wherry/machinery";
import type { Clock } from "@wherry/service-kit";
import type { ObjectStore } from "../object-store.ts";
import type { TokenAuthenticator } from "./bearer-token-authenticator.ts";
import { resourceIds } from "./resource-ids.ts";
import { bootstrappersGroup, bootstrapUserPrefix } from "./well-known-users.ts";

const tokenPattern = /^([a-z0-9]{6})\.([a-z0-9]{16})$/;
const groupPattern = /^system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]$/;

interface Secret extends KubeObject {
  readonly type?: string;
  readonly data?: Readonly<Record<string, string>>;
}

/** Tokens that join nodes (`id.secret`), each described by the Secret kube-system/bootstrap-token-<id>. */
export function createBootstrapTokenAuthenticator(
  store: Pick<ObjectStore, "peek">,
  clock: Clock,
): TokenAuthenticator {
  return {
    async authenticateToken(token, audiences) {
      const [, id, secretPart] = tokenPattern.exec(token) ?? [];
      if (id === undefined || secretPart === undefined) return undefined;
      const secret = store.peek<Secret>(
        resourceIds.secrets,
        "kube-system",
        `bootstrap-token-${id}`,
      );
      if (
        secret === undefined ||
        secret.metadata.deletionTimestamp !== undefined ||
        secret.type !== "bootstrap.kubernetes.io/token"
      )
        return undefined;
      const data = (key: string): string =>
        Buffer.from(secret.data?.[key] ?? "", "base64").toString("utf8");
      if (data("token-id") !== id || !equal(data("token-secret"), secretPart)) return undefined;
      if (
        expired(data("expiration"), clock.now()) ||
        data("usage-bootstrap-authentication") !== "true"
      )
        return undefined;
      const groups = data("auth-extra-groups")
        .split(",")
        .map((group) => group.trim())
        .filter(Boolean);
      if (!groups.every((group) => groupPattern.test(group))) return undefined;
      return {
        user: {
          name: `${bootstrapUserPrefix}${id}`,
          groups: [...new Set([bootstrappersGroup, ...groups])],
        },
        audiences,
      };
    },
  };
}

function equal(left: string, right: string): boolean {
  const digest = (text: string): Buffer => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(left), digest(right));
}

/** No expiration means for ever; one that cannot be read means expired. */
function expired(expiration: string, now: number): boolean {
  if (expiration === "") return false;
  const at = Date.parse(expiration);
  return Number.isNaN(at) || at <= now;
}

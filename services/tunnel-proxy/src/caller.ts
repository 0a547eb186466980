import { timingSafeEqual, X509Certificate } from "node:crypto";
import type { TLSSocket } from "node:tls";
import type { HttpRequest } from "@wherry/service-kit";
import { subjectOf } from "@wherry/pki";

/** Who calls the supervisor. */
export type Caller =
  | { readonly kind: "server" | "agent" }
  | { readonly kind: "node"; readonly node: string }
  | { readonly kind: "bootstrap" }
  | { readonly kind: "masters" }
  | { readonly kind: "unknown"; readonly reason: string };

export interface CallerOptions {
  readonly clientCaPem: string;
  readonly serverPassword: string;
  readonly agentPassword: string;
  /** Says whether `id.secret` is a valid bootstrap token for authentication. */
  readonly isBootstrapToken: (id: string, secret: string) => Promise<boolean>;
  readonly now: () => number;
}

/** Reads client certificate, Basic or Bearer credentials, in this order. */
export async function identifyCaller(
  request: HttpRequest,
  options: CallerOptions,
): Promise<Caller> {
  const certificate = verifiedCertificate(request, options);
  if (certificate !== undefined) {
    const { commonName, organizations } = subjectOf(certificate);
    if (organizations.includes("system:masters")) return { kind: "masters" };
    if (organizations.includes("system:nodes") && commonName.startsWith("system:node:")) {
      return { kind: "node", node: commonName.slice("system:node:".length) };
    }
  }
  const header = request.headers.authorization ?? "";
  const [scheme = "", value = ""] = header.split(" ");
  if (/^basic$/i.test(scheme)) return callerOfBasic(value, options);
  if (/^bearer$/i.test(scheme)) {
    const [id = "", secret = ""] = value.split(".");
    if (await options.isBootstrapToken(id, secret)) return { kind: "bootstrap" };
    return { kind: "unknown", reason: "the bearer token is not a valid bootstrap token" };
  }
  return { kind: "unknown", reason: "no credentials were sent" };
}

function callerOfBasic(encoded: string, options: CallerOptions): Caller {
  const text = Buffer.from(encoded, "base64").toString();
  const colon = text.indexOf(":");
  const user = text.slice(0, colon);
  const password = text.slice(colon + 1);
  if (user === "server" && isSame(password, options.serverPassword)) return { kind: "server" };
  // The server's password also joins agents; the agents' password joins no servers.
  if (
    user === "node" &&
    (isSame(password, options.agentPassword) || isSame(password, options.serverPassword))
  )
    return { kind: "agent" };
  return { kind: "unknown", reason: "the token is not valid here" };
}

/** The peer's certificate when it was issued by the client CA and is valid now (a resumed session keeps its old verdict). */
export function verifiedCertificate(
  request: HttpRequest,
  options: Pick<CallerOptions, "clientCaPem" | "now">,
): X509Certificate | undefined {
  const socket = ("stream" in request ? request.stream?.session?.socket : request.socket) as
    | TLSSocket
    | undefined;
  const certificate = socket?.getPeerX509Certificate?.();
  if (certificate === undefined) return undefined;
  const now = options.now();
  if (certificate.validFromDate.getTime() > now || certificate.validToDate.getTime() < now)
    return undefined;
  return certificate.verify(new X509Certificate(options.clientCaPem).publicKey)
    ? certificate
    : undefined;
}

function isSame(a: string, b: string): boolean {
  const left = Buffer.from(a);
  const right = Buffer.from(b);
  return left.length === right.length && timingSafeEqual(left, right);
}

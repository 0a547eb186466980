import { request as httpRequest } from "node:http";
import type { IncomingMessage, OutgoingHttpHeaders } from "node:http";
import { request as httpsRequest } from "node:https";

export interface HttpTarget {
  readonly scheme: "http" | "https";
  readonly host: string;
  readonly port: number;
  /** Path and query. */
  readonly path: string;
  readonly headers: readonly { readonly name: string; readonly value: string }[];
}

export interface HttpAnswer {
  readonly status: number;
  /** At most the first 10 KiB. */
  readonly body: string;
  /** Set when following stopped at a redirect to another host. */
  readonly redirectedAway: boolean;
}

const bodyMaxBytes = 10 * 1024;
const redirectsMax = 10;

/** One GET as probes and hooks make it: no kept connection, certificates not verified, redirects followed on the same host. */
export async function getHttp(
  target: HttpTarget,
  timeoutMs: number,
  userAgent: string,
): Promise<HttpAnswer> {
  const signal = AbortSignal.timeout(timeoutMs);
  let current = target;
  for (let hop = 0; ; hop += 1) {
    const answer = await getOnce(current, signal, userAgent);
    const location = answer.location;
    if (answer.status < 300 || answer.status > 399 || location === undefined)
      return { status: answer.status, body: answer.body, redirectedAway: false };
    if (hop >= redirectsMax) throw new Error("stopped after 10 redirects");
    const next = new URL(location, urlOf(current));
    if (stripBrackets(next.hostname) !== stripBrackets(target.host))
      return { status: answer.status, body: answer.body, redirectedAway: true };
    const scheme = next.protocol === "https:" ? "https" : "http";
    current = {
      ...current,
      scheme,
      port: next.port === "" ? (scheme === "https" ? 443 : 80) : Number(next.port),
      path: `${next.pathname}${next.search}`,
    };
  }
}

/** As Go prints it in messages. */
export function urlOf({ scheme, host, port, path }: HttpTarget): string {
  return `${scheme}://${host.includes(":") ? `[${host}]` : host}:${port}${path}`;
}

function stripBrackets(host: string): string {
  return host.replace(/^\[|\]$/gu, "");
}

interface OneAnswer {
  readonly status: number;
  readonly body: string;
  readonly location: string | undefined;
}

function getOnce(target: HttpTarget, signal: AbortSignal, userAgent: string): Promise<OneAnswer> {
  return new Promise((resolve, reject) => {
    const options = {
      host: target.host,
      port: target.port,
      path: target.path,
      method: "GET",
      headers: headersOf(target, userAgent),
      agent: false as const,
      signal,
    };
    const request =
      target.scheme === "https"
        ? httpsRequest({ ...options, rejectUnauthorized: false })
        : httpRequest(options);
    request.once("error", reject);
    request.once("response", (response: IncomingMessage) => {
      const chunks: Buffer[] = [];
      let size = 0;
      const finish = (): void =>
        resolve({
          status: response.statusCode ?? 0,
          body: Buffer.concat(chunks).subarray(0, bodyMaxBytes).toString("utf8"),
          location: response.headers.location,
        });
      response.on("data", (chunk: Buffer) => {
        chunks.push(chunk);
        size += chunk.length;
        if (size >= bodyMaxBytes) {
          finish();
          request.destroy();
        }
      });
      response.once("end", finish);
      response.once("error", reject);
    });
    request.end();
  });
}

function headersOf({ headers }: HttpTarget, userAgent: string): OutgoingHttpHeaders {
  const result: Record<string, string[]> = {};
  for (const { name, value } of headers) (result[name] ??= []).push(value);
  const given = new Set(Object.keys(result).map((name) => name.toLowerCase()));
  const flat: OutgoingHttpHeaders = {};
  for (const [name, values] of Object.entries(result))
    flat[name] = name.toLowerCase() === "host" ? (values[0] ?? "") : values;
  // An empty value takes the header away altogether, as upstream documents.
  if (!given.has("user-agent")) flat["User-Agent"] = userAgent;
  else if (result["User-Agent"]?.[0] === "") delete flat["User-Agent"];
  if (!given.has("accept")) flat["Accept"] = "*/*";
  else if (result["Accept"]?.[0] === "") delete flat["Accept"];
  flat["Connection"] = "close";
  return flat;
}

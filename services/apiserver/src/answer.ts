/** Writes answers: one object, a Status, text. Headers, pretty printing, YAML, protobuf, compression and warnings are decided here and nowhere else. */
import { gzip } from "node:zlib";
import { promisify } from "node:util";
import { ApiError, statusOf, type Json, type Status } from "@wherry/machinery";
import { encodeKubernetesProtobuf } from "@wherry/schema";
import type { Exchange, HeaderValue, ResponseHeaders } from "./exchange.ts";
import { joinPieces, type Piece } from "./object-encoding.ts";
import type { Representation } from "./negotiation.ts";

/** Answers below this size are not worth compressing (upstream's threshold). */
export const gzipThresholdBytes = 128 * 1024;
/** Fastest level: the network is rarely the bottleneck. */
export const gzipLevel = 1;

const compress = promisify(gzip);
const newline = Buffer.from("\n");

export const plainJson: Representation = {
  media: "json",
  transformation: "none",
  transformationVersion: "v1",
  pretty: false,
};

/** Collects `Warning` headers of one request. */
export interface Warnings {
  readonly texts: readonly string[];
  add(text: string): void;
}

const warningsMax = 64;
const warningBytesMax = 4096;

export function createWarnings(): Warnings {
  const texts: string[] = [];
  let bytes = 0;
  return {
    texts,
    add(text) {
      bytes += text.length;
      if (texts.length < warningsMax && bytes <= warningBytesMax && !texts.includes(text))
        texts.push(text);
    },
  };
}

export function warningHeader(texts: readonly string[]): Record<string, HeaderValue> {
  if (texts.length === 0) return {};
  const clean = (text: string): string => text.replace(/\p{Cc}/gu, " ").replace(/[\\"]/g, "\\$&");
  return { warning: texts.map((text) => `299 - "${encodeHeader(clean(text))}"`) };
}

export function sendPieces(
  exchange: Exchange,
  code: number,
  pieces: readonly Piece[],
  representation: Representation,
  warnings: readonly string[],
  extra: ResponseHeaders = {},
): Promise<void> | void {
  const bytes = joinPieces(pieces);
  const plain = representation.media === "json" && !representation.pretty;
  if (plain)
    return sendBytes(
      exchange,
      code,
      "application/json",
      [bytes, newline],
      bytes.length,
      warnings,
      extra,
    );
  return sendValue(
    exchange,
    code,
    JSON.parse(bytes.toString()) as Json,
    representation,
    warnings,
    extra,
  );
}

export async function sendValue(
  exchange: Exchange,
  code: number,
  value: Json,
  representation: Representation,
  warnings: readonly string[],
  extra: ResponseHeaders = {},
): Promise<void> {
  if (representation.media === "protobuf") {
    const object = value as { readonly [key: string]: Json };
    return sendProtobuf(exchange, code, encodeKubernetesProtobuf(object), warnings, extra);
  }
  if (representation.media === "yaml") {
    const { dump } = await import("js-yaml");
    const text = dump(value, { noRefs: true, lineWidth: -1 });
    return sendBytes(
      exchange,
      code,
      "application/yaml",
      [Buffer.from(text)],
      text.length,
      warnings,
      extra,
    );
  }
  const text = representation.pretty ? JSON.stringify(value, undefined, 2) : JSON.stringify(value);
  return sendBytes(
    exchange,
    code,
    "application/json",
    [Buffer.from(`${text}\n`)],
    text.length,
    warnings,
    extra,
  );
}

/** An object that is encoded already. */
export function sendProtobuf(
  exchange: Exchange,
  code: number,
  bytes: Buffer,
  warnings: readonly string[],
  extra: ResponseHeaders = {},
): Promise<void> {
  const type = "application/vnd.kubernetes.protobuf";
  return sendBytes(exchange, code, type, [bytes], bytes.length, warnings, extra);
}

async function sendBytes(
  exchange: Exchange,
  code: number,
  type: string,
  body: readonly Buffer[],
  length: number,
  warnings: readonly string[],
  extra: ResponseHeaders,
): Promise<void> {
  const headers = {
    "content-type": type,
    "cache-control": "no-cache, private",
    ...warningHeader(warnings),
    ...extra,
  };
  if (length < gzipThresholdBytes || !acceptsGzip(exchange))
    return exchange.send(code, headers, body);
  const packed = await compress(Buffer.concat(body), { level: gzipLevel });
  exchange.send(code, { ...headers, "content-encoding": "gzip", vary: "Accept-Encoding" }, [
    packed,
  ]);
}

export function sendText(
  exchange: Exchange,
  code: number,
  text: string,
  extra: ResponseHeaders = {},
): void {
  exchange.send(
    code,
    { "content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff", ...extra },
    [Buffer.from(text)],
  );
}

/** Any thrown value as a Status answer. */
export function sendError(
  exchange: Exchange,
  error: unknown,
  warnings: readonly string[] = [],
): void {
  const status = statusOf(error);
  const code = status.code ?? 500;
  const retry = status.details?.retryAfterSeconds;
  const headers: Record<string, HeaderValue> = {
    "content-type": "application/json",
    "cache-control": "no-cache, private",
    ...warningHeader(warnings),
    ...(retry === undefined ? {} : { "retry-after": String(retry) }),
    ...(code === 413 ? { connection: "close" } : {}),
  };
  exchange.send(code, headers, [Buffer.from(`${JSON.stringify(status)}\n`)]);
}

export function acceptsGzip(exchange: Exchange): boolean {
  const accepted = exchange.headers["accept-encoding"];
  return (
    typeof accepted === "string" &&
    /(^|,)\s*gzip\s*(;\s*q=(?!0(\.0*)?\s*(,|$))[\d.]+)?\s*(,|$)/.test(accepted)
  );
}

/** 404 outside the served groups is text, as Go's default handler writes it. */
export function sendNotFoundText(exchange: Exchange): void {
  sendText(exchange, 404, "404 page not found\n");
}

export function isStatus(value: { readonly kind?: string }): value is Status {
  return value.kind === "Status";
}

export function failureWithCode(code: number, message: string): ApiError {
  return new ApiError({
    kind: "Status",
    apiVersion: "v1",
    metadata: {},
    status: "Failure",
    message,
    code,
  });
}

/** Header values are Latin-1; anything else goes out as its UTF-8 bytes, which is what Go does. */
function encodeHeader(text: string): string {
  return /[^\p{ASCII}]/u.test(text) ? Buffer.from(text).toString("latin1") : text;
}

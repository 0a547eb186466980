/**
 * Which representation is sent, from the Accept header (upstream: endpoints/handlers/negotiation). JSON and YAML, and `as=` transformations of
 * JSON. Protobuf is what is accepted last: objects are kept as JSON, so clients that list both get JSON, which costs nothing.
 */
import { newUnsupportedMediaType, newGenericFailure, ApiError } from "@wherry/machinery";

export type Transformation = "none" | "table" | "partialMetadata";

export interface Representation {
  readonly media: "json" | "yaml" | "protobuf";
  readonly transformation: Transformation;
  /** apiVersion of the transformed kind: meta.k8s.io/v1 or v1beta1. */
  readonly transformationVersion: "v1" | "v1beta1";
  readonly pretty: boolean;
}

export interface AcceptClause {
  readonly type: string;
  readonly subtype: string;
  readonly parameters: Readonly<Record<string, string>>;
  readonly quality: number;
}

const offered = [
  "application/json",
  "application/yaml",
  "application/vnd.kubernetes.protobuf",
  "application/json;stream=watch",
  "application/vnd.kubernetes.protobuf;stream=watch",
];

const clausesMax = 32;

/** Best first: by quality, then in the order given. A missing or empty header means anything. */
export function parseAccept(header: string | undefined): readonly AcceptClause[] {
  const texts = (header ?? "").split(",").slice(0, clausesMax);
  const clauses = texts.filter((text) => text.trim() !== "").map(parseClause);
  if (clauses.length === 0) return [{ type: "*", subtype: "*", parameters: {}, quality: 1 }];
  return clauses
    .map((clause, index) => ({ clause, index }))
    .sort((a, b) => b.clause.quality - a.clause.quality || a.index - b.index)
    .map(({ clause }) => clause);
}

/** `transformable` lists the `as=` kinds that this endpoint can produce ("Table" …). Tables have no protobuf form. Throws 406. */
export function negotiate(
  accept: string | undefined,
  query: URLSearchParams,
  userAgent: string | undefined,
  transformable: ReadonlySet<string>,
  offersProtobuf: () => boolean = () => false,
): Representation {
  const pretty = isPretty(query.get("pretty"), userAgent);
  let protobuf: Representation | undefined;
  for (const { type, subtype, parameters } of parseAccept(accept)) {
    const media = mediaOf(type, subtype);
    if (media === undefined) continue;
    if (parameters["stream"] !== undefined && parameters["stream"] !== "watch") continue;
    const { as } = parameters;
    if (as === undefined) {
      const plain = { media, transformation: "none", transformationVersion: "v1", pretty } as const;
      if (media !== "protobuf") return plain;
      protobuf ??= plain;
      continue;
    }
    const version = parameters["v"] ?? "v1";
    const isKnown =
      transformable.has(as) &&
      (parameters["g"] ?? "") === "meta.k8s.io" &&
      (version === "v1" || version === "v1beta1");
    if (!isKnown) continue;
    const transformed = {
      media,
      transformation: as === "Table" ? "table" : "partialMetadata",
      transformationVersion: version,
      pretty,
    } as const;
    if (media !== "protobuf") return transformed;
    if (transformed.transformation !== "table") protobuf ??= transformed;
  }
  if (protobuf !== undefined && offersProtobuf()) return protobuf;
  throw notAcceptable(offered);
}

export function notAcceptable(types: readonly string[]): ApiError {
  const message = `406: Not Acceptable\n\nAvailable representations: ${types.join(", ")}`;
  return new ApiError({
    kind: "Status",
    apiVersion: "v1",
    metadata: {},
    status: "Failure",
    message,
    reason: "NotAcceptable",
    details: {},
    code: 406,
  });
}

/** The format of a request body. Throws 415. */
export function bodyMedia(contentType: string | undefined): "json" | "yaml" | "protobuf" {
  const type = (contentType ?? "").split(";", 1)[0]!.trim().toLowerCase();
  if (type === "" || type === "application/json") return "json";
  if (type === "application/yaml") return "yaml";
  if (type === "application/vnd.kubernetes.protobuf") return "protobuf";
  throw newUnsupportedMediaType(offered.slice(0, 3));
}

/** For PATCH, where upstream's router refuses before a body is looked at. */
export function unsupportedPatchType(): ApiError {
  return newGenericFailure(415, "415: Unsupported Media Type");
}

function parseClause(text: string): AcceptClause {
  const [media = "", ...rest] = text.split(";").map((part) => part.trim());
  const [type = "", subtype = ""] = media.toLowerCase().split("/");
  const parameters: Record<string, string> = {};
  for (const part of rest) {
    const equals = part.indexOf("=");
    if (equals > 0)
      parameters[part.slice(0, equals).trim().toLowerCase()] = part
        .slice(equals + 1)
        .trim()
        .replace(/^"|"$/g, "");
  }
  const quality = Number(parameters["q"] ?? "1");
  return { type, subtype, parameters, quality: Number.isFinite(quality) ? quality : 0 };
}

function mediaOf(type: string, subtype: string): Representation["media"] | undefined {
  if (type === "*" && subtype === "*") return "json";
  if (type !== "application") return undefined;
  if (subtype === "json" || subtype === "*") return "json";
  if (subtype === "vnd.kubernetes.protobuf") return "protobuf";
  return subtype === "yaml" ? "yaml" : undefined;
}

function isPretty(parameter: string | null, userAgent: string | undefined): boolean {
  if (parameter !== null) return parameter === "true" || parameter === "1" || parameter === "";
  return userAgent !== undefined && /^(curl|Wget|Mozilla\/5\.0)/.test(userAgent);
}

/**
 * How objects appear in answers: as they are, as PartialObjectMetadata, or as rows of a Table. One encoding serves GET, LIST and WATCH; pieces are
 * strings and buffers, so that stored bytes go through without being copied or parsed.
 */
import { newBadRequest, type Json, type KubeObject, type ListMeta } from "@wherry/machinery";
import { encodeProtobufWatchEvent } from "@wherry/schema";
import type { Clock } from "@wherry/service-kit";
import type { CacheEntry } from "./cache-entry.ts";
import type { Representation } from "./negotiation.ts";
import type { ServedResource } from "./served-resource.ts";

export type Piece = string | Buffer;

export interface ObjectEncoding {
  /** Two encodings with the same key give the same bytes for the same event. */
  readonly key: string;
  /** A complete object, as GET answers it and watch events carry it. */
  object(entry: CacheEntry, revision: number): readonly Piece[];
  /** The first event of a watch, where it differs (a Table's columns are sent once). */
  firstObject?(entry: CacheEntry, revision: number): readonly Piece[];
  listHead(meta: ListMeta): string;
  listItem(entry: CacheEntry): readonly Piece[];
  readonly listTail: string;
  bookmark(revision: number, annotations: Readonly<Record<string, string>> | undefined): string;
  /** How a watch writes an event with this object, where it is not as a line of JSON. */
  watchFrame?(type: string, object: Buffer): Buffer;
}

export function createEncoding(
  served: ServedResource,
  representation: Representation,
  query: URLSearchParams,
  clock: Pick<Clock, "now">,
): ObjectEncoding {
  const encoding = encodingOf(served, representation, query, clock);
  if (representation.media !== "protobuf") return encoding;
  return {
    ...encoding,
    key: `protobuf ${encoding.key}`,
    watchFrame: (type, object) =>
      encodeProtobufWatchEvent(type, JSON.parse(object.toString()) as Record<string, Json>),
  };
}

function encodingOf(
  served: ServedResource,
  representation: Representation,
  query: URLSearchParams,
  clock: Pick<Clock, "now">,
): ObjectEncoding {
  switch (representation.transformation) {
    case "none":
      return plainEncoding(served);
    case "partialMetadata":
      return metadataEncoding(served, `meta.k8s.io/${representation.transformationVersion}`);
    case "table":
      return tableEncoding(
        served,
        `meta.k8s.io/${representation.transformationVersion}`,
        includeObjectOf(query),
        clock,
      );
  }
}

function plainEncoding(served: ServedResource): ObjectEncoding {
  const { definition, apiVersion } = served;
  return {
    key: `json ${apiVersion}`,
    object: (entry, revision) => [served.objectHead(revision), served.tail(entry)],
    listHead: (meta) =>
      `{"kind":${JSON.stringify(definition.listKind)},"apiVersion":${JSON.stringify(apiVersion)},"metadata":${JSON.stringify(meta)},"items":[`,
    listItem: (entry) => [served.itemHead(entry.revision), served.tail(entry)],
    listTail: "]}\n",
    bookmark: (revision, annotations) =>
      JSON.stringify({
        kind: definition.kind,
        apiVersion,
        metadata: bookmarkMetadata(revision, annotations),
      }),
  };
}

function metadataEncoding(served: ServedResource, apiVersion: string): ObjectEncoding {
  const encode = (entry: CacheEntry, revision: number): string =>
    JSON.stringify(partialObjectMetadata(served.object(entry), apiVersion, revision));
  return {
    key: `metadata ${apiVersion} ${served.apiVersion}`,
    object: (entry, revision) => [encode(entry, revision)],
    listHead: (meta) =>
      `{"kind":"PartialObjectMetadataList","apiVersion":"${apiVersion}","metadata":${JSON.stringify(meta)},"items":[`,
    listItem: (entry) => [encode(entry, entry.revision)],
    listTail: "]}\n",
    bookmark: (revision, annotations) =>
      JSON.stringify({
        kind: "PartialObjectMetadata",
        apiVersion,
        metadata: bookmarkMetadata(revision, annotations),
      }),
  };
}

type IncludeObject = "None" | "Metadata" | "Object";

function tableEncoding(
  served: ServedResource,
  apiVersion: string,
  includeObject: IncludeObject,
  clock: Pick<Clock, "now">,
): ObjectEncoding {
  const { definition } = served;
  const columns = JSON.stringify(
    definition.columns.map(({ name, type, format, description, priority }) => ({
      name,
      type,
      format,
      description,
      priority,
    })),
  );
  const row = (entry: CacheEntry, revision: number): readonly Piece[] => {
    const object = served.object(entry);
    const cells = JSON.stringify(definition.row(object, clock.now()));
    if (includeObject === "Object")
      return [`{"cells":${cells},"object":`, served.objectHead(revision), served.tail(entry), "}"];
    const shown =
      includeObject === "None"
        ? "null"
        : JSON.stringify(partialObjectMetadata(object, apiVersion, revision));
    return [`{"cells":${cells},"object":${shown}}`];
  };
  const head = (meta: ListMeta, columnsText: string): string =>
    `{"kind":"Table","apiVersion":"${apiVersion}","metadata":${JSON.stringify(meta)},"columnDefinitions":${columnsText},"rows":[`;
  const whole = (entry: CacheEntry, revision: number, columnsText: string): readonly Piece[] => [
    head({ resourceVersion: String(revision) }, columnsText),
    ...row(entry, revision),
    "]}",
  ];
  return {
    key: `table ${apiVersion} ${served.apiVersion} ${includeObject}`,
    object: (entry, revision) => whole(entry, revision, "null"),
    firstObject: (entry, revision) => whole(entry, revision, columns),
    listHead: (meta) => head(meta, columns),
    listItem: (entry) => row(entry, entry.revision),
    listTail: "]}\n",
    bookmark: (revision, annotations) => {
      const metadata = {
        kind: definition.kind,
        apiVersion: served.apiVersion,
        metadata: bookmarkMetadata(revision, annotations),
      };
      return `${head({ resourceVersion: String(revision) }, "null")}${JSON.stringify({ cells: [], object: metadata })}]}`;
    },
  };
}

function bookmarkMetadata(
  revision: number,
  annotations: Readonly<Record<string, string>> | undefined,
): Json {
  return {
    resourceVersion: String(revision),
    ...(annotations === undefined ? {} : { annotations }),
  };
}

function partialObjectMetadata(
  object: KubeObject,
  apiVersion: string,
  revision: number,
): KubeObject {
  return {
    kind: "PartialObjectMetadata",
    apiVersion,
    metadata: { ...object.metadata, resourceVersion: String(revision) },
  };
}

function includeObjectOf(query: URLSearchParams): IncludeObject {
  const value = query.get("includeObject") ?? "";
  if (value === "" || value === "Metadata") return "Metadata";
  if (value === "None" || value === "Object") return value;
  throw newBadRequest(
    `Unable to convert to Table as requested: includeObject: Invalid value: ${JSON.stringify(value)}: must be 'Metadata', 'Object', 'None', or empty`,
  );
}

export function joinPieces(pieces: readonly Piece[]): Buffer {
  return Buffer.concat(
    pieces.map((piece) => (typeof piece === "string" ? Buffer.from(piece) : piece)),
  );
}

/** /api, /apis, the lists of resources below them, /version and the index of paths. Documents are made anew when the registry has changed. */
import type { JsonObject } from "@wherry/machinery";
import {
  aggregatedDiscovery,
  coreVersions,
  groupDocument,
  groupList,
  groupNames,
  resourceList,
  versionsOf,
  type ResourceRegistry,
} from "@wherry/schema";
import { createHash } from "node:crypto";
import { plainJson, sendNotFoundText, sendPieces, sendValue } from "./answer.ts";
import type { Exchange } from "./exchange.ts";
import { negotiate, notAcceptable, parseAccept } from "./negotiation.ts";
import type { PathHandler, PathRoute } from "./path-routes.ts";
import { headerText } from "./request-body.ts";

export interface DiscoveryOptions {
  readonly registry: ResourceRegistry;
  /** "host:port" under which clients reach the server. */
  readonly serverAddress: () => string;
  readonly version: () => JsonObject;
  /** Paths that `GET /` lists beside those of discovery. */
  readonly paths: () => readonly string[];
}

interface CachedDocument {
  readonly body: string;
  readonly etag: string;
}

export function createDiscoveryRoutes({
  registry,
  serverAddress,
  version,
  paths,
}: DiscoveryOptions): readonly PathRoute[] {
  let generation = -1;
  let documents = new Map<string, CachedDocument | undefined>();
  const cached = (key: string, make: () => JsonObject | undefined): CachedDocument | undefined => {
    if (generation !== registry.generation) {
      generation = registry.generation;
      documents = new Map();
    }
    if (!documents.has(key)) {
      const value = make();
      const body = value === undefined ? undefined : JSON.stringify(value);
      documents.set(
        key,
        body === undefined
          ? undefined
          : { body, etag: `"${createHash("sha512").update(body).digest("hex").toUpperCase()}"` },
      );
    }
    return documents.get(key);
  };

  const answer = (
    exchange: Exchange,
    query: URLSearchParams,
    key: string,
    make: () => JsonObject | undefined,
  ): Promise<void> | void => {
    const document = cached(key, make);
    if (document === undefined) return sendNotFoundText(exchange);
    const representation = negotiate(
      headerText(exchange, "accept"),
      query,
      headerText(exchange, "user-agent"),
      new Set(),
    );
    return sendPieces(exchange, 200, [document.body], representation, []);
  };

  /** The aggregated form when the client prefers it (`as=APIGroupDiscoveryList`), the list of versions or groups otherwise. */
  const root =
    (part: "core" | "groups", legacy: () => JsonObject): PathHandler =>
    ({ exchange, info }) => {
      const wanted = aggregatedVersion(headerText(exchange, "accept"));
      if (wanted === undefined) return answer(exchange, info.query, `legacy ${part}`, legacy);
      const document = cached(`aggregated ${part} ${wanted}`, () =>
        aggregatedDiscovery(registry, part, wanted),
      )!;
      const headers = { etag: document.etag, vary: "Accept", "cache-control": "public" };
      if (headerText(exchange, "if-none-match") === document.etag)
        return exchange.send(304, headers, []);
      const type = `application/json;g=apidiscovery.k8s.io;v=${wanted};as=APIGroupDiscoveryList`;
      return sendPieces(exchange, 200, [document.body], plainJson, [], {
        ...headers,
        "content-type": type,
      });
    };

  const below: PathHandler = ({ exchange, info }) => {
    const [prefix, first = "", second = "", ...rest] = info.path
      .split("/")
      .filter((part) => part !== "");
    if (exchange.method !== "GET" && exchange.method !== "HEAD") return sendNotFoundText(exchange);
    if (prefix === "api" && second === "")
      return answer(exchange, info.query, info.path, () => resourceList(registry, "", first));
    if (prefix === "apis" && second === "")
      return answer(exchange, info.query, info.path, () => groupDocument(registry, first));
    if (prefix === "apis" && rest.length === 0)
      return answer(exchange, info.query, info.path, () => resourceList(registry, first, second));
    return sendNotFoundText(exchange);
  };

  const listedPaths = (): readonly string[] => {
    const groups = groupNames(registry);
    return [
      "/api",
      ...versionsOf(registry, "").map((one) => `/api/${one}`),
      "/apis",
      ...groups.flatMap((group) => [
        `/apis/${group}`,
        ...versionsOf(registry, group).map((one) => `/apis/${group}/${one}`),
      ]),
      ...paths(),
    ].sort();
  };

  return [
    {
      path: "/",
      handler: ({ exchange }) =>
        sendValue(
          exchange,
          200,
          { paths: [...new Set(listedPaths())] },
          { ...plainJson, pretty: true },
          [],
        ),
      listed: false,
    },
    {
      path: "/api",
      handler: root("core", () => coreVersions(registry, serverAddress())),
      listed: false,
    },
    { path: "/api/", handler: below, listed: false },
    { path: "/apis", handler: root("groups", () => groupList(registry)), listed: false },
    { path: "/apis/", handler: below, listed: false },
    {
      path: "/version",
      handler: ({ exchange }) =>
        sendValue(exchange, 200, version(), { ...plainJson, pretty: true }, []),
    },
  ];
}

function aggregatedVersion(accept: string | undefined): "v2" | "v2beta1" | undefined {
  for (const { type, subtype, parameters } of parseAccept(accept)) {
    if (type === "*" && subtype === "*") return undefined;
    if (type !== "application" || subtype !== "json") continue;
    const { as, g, v } = parameters;
    if (as === undefined) return undefined;
    if (
      as === "APIGroupDiscoveryList" &&
      g === "apidiscovery.k8s.io" &&
      (v === "v2" || v === "v2beta1")
    )
      return v;
  }
  if (accept === undefined || accept === "" || /protobuf|\*|yaml|json/.test(accept))
    return undefined;
  throw notAcceptable([
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
  ]);
}

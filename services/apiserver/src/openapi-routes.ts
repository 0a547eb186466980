/** /openapi/v2 (JSON, or protobuf for older clients) and /openapi/v3 (an index and one document per group version). Made when asked for, kept until the registry changes. */
import { createHash } from "node:crypto";
import {
  buildOpenApiV3,
  openApiV2Json,
  openApiV2Protobuf,
  openApiV2ProtobufTypes,
  openApiV3Hash,
  openApiV3Index,
  type ResourceRegistry,
} from "@wherry/schema";
import { plainJson, sendNotFoundText, sendPieces } from "./answer.ts";
import type { Exchange } from "./exchange.ts";
import { notAcceptable, parseAccept } from "./negotiation.ts";
import type { PathHandler, PathRoute } from "./path-routes.ts";
import { headerText } from "./request-body.ts";

interface Document {
  readonly body: Buffer;
  readonly etag: string;
}

export function createOpenApiRoutes(
  registry: ResourceRegistry,
  version: string,
): readonly PathRoute[] {
  let generation = -1;
  let documents = new Map<string, Promise<Document> | Document>();
  const kept = (
    key: string,
    make: () => Promise<Buffer> | Buffer,
  ): Promise<Document> | Document => {
    if (generation !== registry.generation) {
      generation = registry.generation;
      documents = new Map();
    }
    let document = documents.get(key);
    if (document === undefined) {
      document = (async () => {
        const body = await make();
        return { body, etag: `"${createHash("sha512").update(body).digest("hex").toUpperCase()}"` };
      })();
      documents.set(key, document);
      document.catch(() => documents.delete(key));
    }
    return document;
  };

  const send = async (
    exchange: Exchange,
    document: Document,
    type: string,
    extra: Readonly<Record<string, string>> = {},
  ): Promise<void> => {
    const headers = { etag: document.etag, ...extra };
    if (headerText(exchange, "if-none-match") === document.etag)
      return exchange.send(304, headers, []);
    return sendPieces(exchange, 200, [document.body], plainJson, [], {
      ...headers,
      "content-type": type,
    });
  };

  const versionTwo: PathHandler = async ({ exchange }) => {
    const wantsProtobuf = acceptedForm(headerText(exchange, "accept")) === "protobuf";
    const document = await kept(`v2 ${wantsProtobuf}`, () =>
      wantsProtobuf ? openApiV2Protobuf(registry, version) : openApiV2Json(registry, version),
    );
    if (!wantsProtobuf) return send(exchange, document, "application/json", { vary: "Accept" });
    const headers = {
      etag: document.etag,
      vary: "Accept",
      "content-type": openApiV2ProtobufTypes.answered,
    };
    return headerText(exchange, "if-none-match") === document.etag
      ? exchange.send(304, headers, [])
      : exchange.send(200, headers, [document.body]);
  };

  const index: PathHandler = async ({ exchange }) =>
    send(
      exchange,
      await kept("v3", () => Buffer.from(JSON.stringify(openApiV3Index(registry)))),
      "application/json",
    );

  const groupVersion: PathHandler = async ({ exchange, info }) => {
    const path = info.path.slice("/openapi/v3/".length);
    const known = Object.hasOwn((openApiV3Index(registry)["paths"] ?? {}) as object, path);
    if (!known) return sendNotFoundText(exchange);
    const hash = openApiV3Hash(registry, path);
    const asked = info.query.get("hash");
    if (asked !== null && asked !== "" && asked !== hash) {
      return exchange.send(301, { location: `/openapi/v3/${path}?hash=${hash}` }, []);
    }
    const document = await kept(`v3 ${path}`, () =>
      Buffer.from(JSON.stringify(buildOpenApiV3(registry, path, version))),
    );
    // An address with a hash names this content for ever.
    const caching: Record<string, string> =
      asked === null || asked === ""
        ? {}
        : { "cache-control": "public, immutable", expires: "Thu, 31 Dec 2099 23:59:59 GMT" };
    return send(exchange, document, "application/json", caching);
  };

  return [
    { path: "/openapi/v2", handler: versionTwo },
    { path: "/openapi/v3", handler: index },
    { path: "/openapi/v3/", handler: groupVersion },
  ];
}

function acceptedForm(accept: string | undefined): "json" | "protobuf" {
  for (const { type, subtype } of parseAccept(accept)) {
    const name = `${type}/${subtype}`;
    if (name === openApiV2ProtobufTypes.accepted || name === openApiV2ProtobufTypes.answered)
      return "protobuf";
    if (name === "*/*" || name === "application/json" || name === "application/*") return "json";
  }
  throw notAcceptable(["application/json", openApiV2ProtobufTypes.accepted]);
}

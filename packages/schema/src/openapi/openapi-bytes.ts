import { setImmediate as nextTurn } from "node:timers/promises";
import type { ResourceRegistry } from "../registry.ts";
import { encodeOpenApiV2Part, encodeOpenApiV2Protobuf } from "./openapi-v2-protobuf.ts";
import { openApiV2Head, openApiV2Parts, type OpenApiPart } from "./openapi-v2.ts";

/**
 * Media types of the protobuf form. Clients ask by a name with "@" in it, which Go's own parser of media types refuses: answers say it
 * without.
 */
export const openApiV2ProtobufTypes = {
  accepted: "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
  answered: "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
} as const;

/** Nobody else waits longer than about this for the loop while a document is made. */
const sliceMs = 4;

/** Bytes of /openapi/v2 as JSON. Made in slices; keep them until the registry's generation moves. */
export async function openApiV2Json(
  registry: ResourceRegistry,
  version = "unversioned",
): Promise<Buffer> {
  const sections: Record<OpenApiPart["section"], string[]> = { paths: [], definitions: [] };
  for await (const part of sliced(openApiV2Parts(registry))) {
    sections[part.section].push(`${JSON.stringify(part.name)}:${JSON.stringify(part.document)}`);
  }
  const head = JSON.stringify(openApiV2Head(version)).slice(0, -1);
  return Buffer.from(
    `${head},"paths":{${sections.paths.join(",")}},"definitions":{${sections.definitions.join(",")}}}`,
  );
}

/** The same document as protobuf. */
export async function openApiV2Protobuf(
  registry: ResourceRegistry,
  version = "unversioned",
): Promise<Buffer> {
  const chunks: Buffer[] = [encodeOpenApiV2Protobuf(openApiV2Head(version))];
  for await (const part of sliced(openApiV2Parts(registry))) chunks.push(encodeOpenApiV2Part(part));
  return Buffer.concat(chunks);
}

async function* sliced<T>(items: Iterable<T>): AsyncGenerator<T, void, undefined> {
  let start = performance.now();
  for (const item of items) {
    yield item;
    if (performance.now() - start < sliceMs) continue;
    await nextTurn();
    start = performance.now();
  }
}

/** Request bodies: bytes to a decoded object, from JSON, YAML or protobuf. */
import { newBadRequest, type JsonObject } from "@wherry/machinery";
import {
  decodeObject,
  type Decoded,
  type DecodeTarget,
  type Draft,
  type FieldValidation,
  type ResourceDefinition,
} from "@wherry/schema";
import type { Exchange } from "./exchange.ts";
import { bodyMedia } from "./negotiation.ts";

/** Upstream's limit of a request body. */
export const requestBytesMax = 3 * 1024 * 1024;

export async function readObject(
  exchange: Exchange,
  target: DecodeTarget | ResourceDefinition,
  fieldValidation: FieldValidation,
): Promise<Decoded> {
  const media = bodyMedia(headerText(exchange, "content-type"));
  const body = await exchange.readBody(requestBytesMax);
  let decoded: Decoded;
  if (media === "protobuf") decoded = await decodeProtobuf(target, body);
  else if (media === "yaml") decoded = await decodeYaml(target, body.toString(), fieldValidation);
  else decoded = decodeObject(target, emptyIsMissing(target, body.toString()), { fieldValidation });
  (decoded.object as { metadata: Draft["metadata"] | undefined }).metadata ??= {};
  return decoded;
}

/** DeleteOptions of a DELETE; undefined when there is no body. */
export async function readDeleteOptions(exchange: Exchange): Promise<JsonObject | undefined> {
  const body = await exchange.readBody(requestBytesMax);
  if (body.length === 0) return undefined;
  const media = bodyMedia(headerText(exchange, "content-type"));
  let value: unknown;
  try {
    if (media === "protobuf")
      value = (await import("./protobuf-object.ts")).decodeProtobufObject(body, {
        apiVersion: "v1",
        kind: "DeleteOptions",
      });
    else
      value =
        media === "json"
          ? JSON.parse(body.toString())
          : (await (await import("./yaml-body.ts")).parseYaml(body.toString())).value;
  } catch (error) {
    throw newBadRequest(`couldn't get version/kind; json parse error: ${(error as Error).message}`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw newBadRequest("the DeleteOptions are not an object");
  const options = value as JsonObject;
  const kind = options["kind"] ?? "";
  const apiVersion = String(options["apiVersion"] ?? "v1");
  if (kind !== "" && kind !== "DeleteOptions") {
    throw newBadRequest(
      `no kind ${JSON.stringify(kind)} is registered for version ${JSON.stringify(apiVersion)} in scheme "pkg/apis/meta/internalversion/scheme/register.go:27"`,
    );
  }
  return options;
}

export function headerText(exchange: Pick<Exchange, "headers">, name: string): string | undefined {
  const value = exchange.headers[name];
  return typeof value === "string" || value === undefined ? value : value.join(", ");
}

function emptyIsMissing(target: DecodeTarget, text: string): string {
  if (text !== "") return text;
  throw newBadRequest(
    `the object provided is unrecognized (must be of type ${target.kind}): couldn't get version/kind; json parse error: unexpected end of JSON input (<empty>)`,
  );
}

/** Unknown fields of protobuf have no names: there is nothing to be strict about. */
async function decodeProtobuf(
  target: DecodeTarget | ResourceDefinition,
  body: Buffer,
): Promise<Decoded> {
  const { decodeProtobufObject } = await import("./protobuf-object.ts");
  const apiVersion = target.group === "" ? target.version : `${target.group}/${target.version}`;
  let value: ReturnType<typeof decodeProtobufObject>;
  try {
    value = decodeProtobufObject(body, { apiVersion, kind: target.kind });
  } catch (error) {
    const reason = (error as Error).message;
    throw newBadRequest(
      `the object provided is unrecognized (must be of type ${target.kind}): ${reason} (${body.subarray(0, 1024).toString("hex")})`,
    );
  }
  return decodeObject(target, value, { fieldValidation: "Ignore" });
}

async function decodeYaml(
  target: DecodeTarget | ResourceDefinition,
  text: string,
  fieldValidation: FieldValidation,
): Promise<Decoded> {
  const { parseYaml } = await import("./yaml-body.ts");
  let document: Awaited<ReturnType<typeof parseYaml>>;
  try {
    document = await parseYaml(text);
  } catch (error) {
    const reason = (error as { reason?: string }).reason ?? (error as Error).message;
    throw newBadRequest(
      `the object provided is unrecognized (must be of type ${target.kind}): yaml: ${reason} (${Buffer.from(text.slice(0, 1024)).toString("hex")})`,
    );
  }
  const earlier =
    document.duplicates.length === 0 ? {} : { earlierStrictErrors: document.duplicates };
  return decodeObject(target, JSON.stringify(document.value ?? {}), {
    fieldValidation,
    ...earlier,
  });
}

/** Request bodies: bytes to a decoded object, JSON or YAML. */
import { newBadRequest, type JsonObject } from "@wherry/machinery";
import { decodeObject, type Decoded, type DecodeTarget, type Draft, type FieldValidation, type ResourceDefinition } from "@wherry/schema";
import type { Exchange } from "./exchange.ts";
import { bodyMedia } from "./negotiation.ts";

/** Upstream's limit of a request body. */
export const requestBytesMax = 3 * 1024 * 1024;

export async function readObject(exchange: Exchange, target: DecodeTarget | ResourceDefinition, fieldValidation: FieldValidation): Promise<Decoded> {
  const media = bodyMedia(headerText(exchange, "content-type"));
  const text = (await exchange.readBody(requestBytesMax)).toString();
  const decoded = media === "json" ? decodeObject(target, emptyIsMissing(target, text), { fieldValidation }) : await decodeYaml(target, text, fieldValidation);
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
    value = media === "json" ? JSON.parse(body.toString()) : await loadYaml(body.toString());
  } catch (error) {
    throw newBadRequest(`couldn't get version/kind; json parse error: ${(error as Error).message}`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw newBadRequest("the DeleteOptions are not an object");
  const options = value as JsonObject;
  const kind = options["kind"] ?? "";
  const apiVersion = String(options["apiVersion"] ?? "v1");
  if (kind !== "" && kind !== "DeleteOptions") {
    throw newBadRequest(`no kind ${JSON.stringify(kind)} is registered for version ${JSON.stringify(apiVersion)} in scheme "pkg/apis/meta/internalversion/scheme/register.go:27"`);
  }
  return options;
}

export function headerText(exchange: Pick<Exchange, "headers">, name: string): string | undefined {
  const value = exchange.headers[name];
  return typeof value === "string" || value === undefined ? value : value.join(", ");
}

function emptyIsMissing(target: DecodeTarget, text: string): string {
  if (text !== "") return text;
  throw newBadRequest(`the object provided is unrecognized (must be of type ${target.kind}): couldn't get version/kind; json parse error: unexpected end of JSON input (<empty>)`);
}

async function decodeYaml(target: DecodeTarget | ResourceDefinition, text: string, fieldValidation: FieldValidation): Promise<Decoded> {
  const duplicates: string[] = [];
  let value: unknown;
  try {
    value = await loadYaml(text, (problem) => duplicates.push(problem));
  } catch (error) {
    const reason = (error as { reason?: string }).reason ?? (error as Error).message;
    throw newBadRequest(`the object provided is unrecognized (must be of type ${target.kind}): yaml: ${reason} (${Buffer.from(text.slice(0, 1024)).toString("hex")})`);
  }
  return decodeObject(target, JSON.stringify(value ?? {}), { fieldValidation, ...(duplicates.length === 0 ? {} : { earlierStrictErrors: duplicates }) });
}

/** The first document, as JSON values. Duplicate keys are reported when wanted; the last one wins. */
async function loadYaml(text: string, onDuplicate?: (problem: string) => void): Promise<unknown> {
  const yaml = await import("js-yaml");
  const first = firstDocument(text);
  const schema = yaml.CORE_SCHEMA;
  try {
    return yaml.load(first, { schema });
  } catch (error) {
    const { reason, mark } = error as { reason?: string; mark?: { line: number; position: number } };
    if (reason !== "duplicated mapping key" || mark === undefined) throw error;
    const key = /^\s*["']?([^"':]+)/.exec(first.split("\n")[mark.line] ?? "")?.[1] ?? "";
    onDuplicate?.(`yaml: unmarshal errors:\n  line ${mark.line + 1}: key ${JSON.stringify(key)} already set in map`);
    return yaml.load(first, { schema, json: true });
  }
}

function firstDocument(text: string): string {
  const begin = /^\s*(#[^\n]*\n\s*)*---[^\n]*\n/.exec(text);
  const body = begin === null ? text : text.slice(begin[0].length);
  const end = /^---/m.exec(body);
  return end === null ? body : body.slice(0, end.index);
}

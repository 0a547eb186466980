/** PATCH bodies: how each kind of patch is read and applied to the current object. */
import {
  ApiError,
  applyJsonPatch,
  applyMergePatch,
  applyStrategicMergePatch,
  fieldInvalid,
  goValue,
  newBadRequest,
  newInvalid,
  newUnsupportedMediaType,
  type Json,
  type JsonObject,
  type KubeObject,
} from "@wherry/machinery";
import { decodeObject, type DecodeTarget, type Draft, type FieldValidation } from "@wherry/schema";
import type { Exchange } from "./exchange.ts";
import { unsupportedPatchType } from "./negotiation.ts";
import { headerText, requestBytesMax } from "./request-body.ts";

type PatchKind = "json" | "merge" | "strategic";

const kinds: Readonly<Record<string, PatchKind>> = {
  "application/json-patch+json": "json",
  "application/merge-patch+json": "merge",
  "application/strategic-merge-patch+json": "strategic",
};

const applyTypes = new Set(["application/apply-patch+yaml", "application/apply-patch+cbor"]);

export interface PatchRequest {
  /** Makes the new object from the current one (in the served version). Throws ApiError. */
  apply(current: KubeObject): { readonly object: Draft; readonly warnings: readonly string[] };
}

export async function readPatch(
  exchange: Exchange,
  target: DecodeTarget,
  fieldValidation: FieldValidation,
): Promise<PatchRequest> {
  const type = (headerText(exchange, "content-type") ?? "").split(";", 1)[0]!.trim();
  const kind = kinds[type];
  // Server-side apply is named here, so that a client learns what it may use instead.
  if (applyTypes.has(type)) throw newUnsupportedMediaType(Object.keys(kinds));
  if (kind === undefined) throw unsupportedPatchType();
  if (kind === "strategic" && target.schema.goType === undefined)
    throw newUnsupportedMediaType(Object.keys(kinds).slice(0, 2));
  const text = (await exchange.readBody(requestBytesMax)).toString();
  let patch: Json;
  try {
    patch = JSON.parse(text) as Json;
  } catch (error) {
    throw newBadRequest(`error decoding patch: ${goSyntaxError(text, error as Error)}`);
  }
  if (kind === "json" && !Array.isArray(patch)) {
    throw newBadRequest(
      "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp",
    );
  }
  return {
    apply(current) {
      const patched = sortedKeys(applyPatch(kind, target, current as unknown as JsonObject, patch));
      try {
        const { object, warnings } = decodeObject(target, patched, { fieldValidation });
        (object as { metadata: Draft["metadata"] | undefined }).metadata ??= {};
        return { object, warnings };
      } catch (error) {
        if (!(error instanceof ApiError) || error.code !== 400) throw error;
        const shown = kind === "strategic" ? goValue(patch) : JSON.stringify(patched);
        const why = withoutHead(error.message);
        throw newInvalid({ group: "", kind: "" }, "", [
          fieldInvalid("patch", shown, kind === "strategic" ? converterText(why) : why),
        ]);
      }
    },
  };
}

function applyPatch(
  kind: PatchKind,
  target: DecodeTarget,
  current: JsonObject,
  patch: Json,
): JsonObject {
  switch (kind) {
    case "json":
      return applyJsonPatch(current, patch) as JsonObject;
    case "merge":
      return applyMergePatch(current, patch) as JsonObject;
    case "strategic":
      return applyStrategicMergePatch(
        current,
        withoutType((patch ?? {}) as JsonObject, current),
        target.schema,
      );
  }
}

/** kind and apiVersion of a strategic patch are ignored, as upstream applies it to the typed object. */
function withoutType(patch: JsonObject, current: JsonObject): JsonObject {
  if (patch["kind"] === undefined && patch["apiVersion"] === undefined) return patch;
  return { ...patch, kind: current["kind"], apiVersion: current["apiVersion"] };
}

function withoutHead(message: string): string {
  return message.replace(/^.* cannot be handled as a [^:]+: /, "");
}

/** A copy that shares nothing with what was patched. Upstream patches maps, whose keys come out sorted: unknown fields are reported in that order. */
function sortedKeys(value: JsonObject): JsonObject {
  const sorted = (inner: Json | undefined): Json | undefined => {
    if (Array.isArray(inner)) return inner.map((item) => sorted(item as Json) as Json);
    return typeof inner === "object" && inner !== null ? sortedKeys(inner as JsonObject) : inner;
  };
  return Object.fromEntries(
    Object.keys(value)
      .sort()
      .map((key) => [key, sorted(value[key])]),
  );
}

/** Strategic patches are converted back to typed objects by another codec upstream, with words of its own. */
function converterText(text: string): string {
  const [, given, wanted = ""] =
    /^json: cannot unmarshal (\w+) into .* of type (.+)$/.exec(text) ?? [];
  if (given === undefined) return text;
  if (wanted === "string")
    return `cannot convert ${given === "number" ? "int64" : given} to string`;
  if (/^(u?int|float|bool)/.test(wanted)) return `unrecognized type: ${wanted}`;
  if (wanted.startsWith("[]"))
    return `cannot restore slice from ${given === "object" ? "map" : given}`;
  return `cannot restore ${wanted.startsWith("map[") ? "map" : "struct"} from ${given}`;
}

/** Go's text for input that ends too early; other syntax errors are told in our own words. */
function goSyntaxError(text: string, error: Error): string {
  const position = /position (\d+)/.exec(error.message)?.[1];
  return position === undefined || Number(position) >= text.length
    ? "unexpected end of JSON input"
    : error.message;
}

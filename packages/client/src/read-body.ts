import {
  ApiError,
  isJsonObject,
  newGenericFailure,
  type Json,
  type Status,
} from "@wherry/machinery";
import { TransportError, transportErrorFrom } from "./transport-error.ts";
import type { ApiResponse } from "./transport.ts";

/** An answer that is read as a whole may not be larger. Lists that could be are read in pages. */
export const bodyBytesMax = 256 * 1024 * 1024;

export async function readText(
  response: ApiResponse,
  signal: AbortSignal | undefined,
): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  try {
    for await (const chunk of response.body) {
      bytes += chunk.length;
      if (bytes > bodyBytesMax) {
        throw new TransportError(
          "badAnswer",
          `the answer is larger than ${bodyBytesMax} bytes; use limit`,
        );
      }
      chunks.push(chunk);
    }
  } catch (error) {
    throw transportErrorFrom(error, "interrupted", signal);
  }
  return Buffer.concat(chunks).toString();
}

export function parseJson(text: string): Json {
  try {
    return JSON.parse(text) as Json;
  } catch (error) {
    throw new TransportError("badAnswer", `the answer is not JSON: ${text.slice(0, 200)}`, {
      cause: error,
    });
  }
}

/** The error for an answer of 400 and above: its Status, or one made from the code when the body is none. */
export async function readFailure(
  response: ApiResponse,
  signal: AbortSignal | undefined,
): Promise<ApiError> {
  const text = await readText(response, signal);
  try {
    const body = JSON.parse(text) as Json;
    if (isStatus(body)) return new ApiError(body);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  return newGenericFailure(response.status, text.trim());
}

export function isStatus(body: unknown): body is Status {
  return isJsonObject(body as Json) && (body as { kind?: unknown }).kind === "Status";
}

/**
 * One request to an API server and its answer, without saying how it travels. There are two implementations with one contract
 * suite: HTTP(S) to a URL, and a call into an API server in this process (`Apiserver.transport(identity)`), which enters
 * the request chain right after authentication.
 */
export interface ApiTransport {
  /** Resolves when the status and headers are known. A status >= 400 is an answer, not an error. Rejects when nothing answered. */
  roundTrip(request: ApiRequest): Promise<ApiResponse>;
}

export interface ApiRequest {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** Path and query, encoded, beginning with "/". */
  readonly path: string;
  /** Lower-case names. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Serialised; never kept after the call. */
  readonly body?: Uint8Array;
  /** Aborting closes the response body too. */
  readonly signal?: AbortSignal;
}

export interface ApiResponse {
  readonly status: number;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  /** Must be read to its end or left by `return()` (a `break` does). Chunk borders mean nothing. */
  readonly body: AsyncIterable<Uint8Array>;
}

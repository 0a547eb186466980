import type { KubeList, KubeObject, WatchEvent } from "@wherry/machinery";
import type {
  ApiClient,
  DeleteOptions,
  ListOptions,
  PatchType,
  ResourceRef,
  WatchOptions,
  WriteOptions,
} from "./api-client.ts";
import { apiPath, type Query } from "./api-path.ts";
import { parseJson, readFailure, readText } from "./read-body.ts";
import { transportErrorFrom } from "./transport-error.ts";
import type { ApiRequest, ApiResponse, ApiTransport } from "./transport.ts";
import { watchEvents } from "./watch-stream.ts";

const patchContentTypes: Readonly<Record<PatchType, string>> = {
  json: "application/json-patch+json",
  merge: "application/merge-patch+json",
  strategic: "application/strategic-merge-patch+json",
  apply: "application/apply-patch+yaml",
};

/** Metadata alone where the server has it; the plain form stands last, as what any server can send. */
function acceptFor(
  form: "PartialObjectMetadata" | "PartialObjectMetadataList",
  metadataOnly: boolean | undefined,
): string {
  return metadataOnly === true
    ? `application/json;as=${form};g=meta.k8s.io;v=v1, application/json`
    : "application/json";
}

export function createApiClient(transport: ApiTransport): ApiClient {
  const send = async (request: ApiRequest): Promise<ApiResponse> => {
    let response: ApiResponse;
    try {
      response = await transport.roundTrip(request);
    } catch (error) {
      throw transportErrorFrom(error, "unreachable", request.signal);
    }
    if (response.status >= 400) throw await readFailure(response, request.signal);
    return response;
  };

  const call = async <T>(
    method: ApiRequest["method"],
    path: string,
    signal: AbortSignal | undefined,
    body?: unknown,
    contentType = "application/json",
    accept = "application/json",
  ): Promise<T> => {
    const request: ApiRequest = {
      method,
      path,
      headers: {
        accept,
        ...(body === undefined ? {} : { "content-type": contentType }),
      },
      ...(body === undefined ? {} : { body: Buffer.from(JSON.stringify(body)) }),
      ...(signal === undefined ? {} : { signal }),
    };
    const response = await send(request);
    return parseJson(await readText(response, signal)) as T;
  };

  return {
    get: (ref, name, namespace, options = {}) =>
      call(
        "GET",
        apiPath(ref, { namespace, name, query: { resourceVersion: options.resourceVersion } }),
        options.signal,
      ),

    list: <T extends KubeObject>(
      ref: ResourceRef,
      options: ListOptions = {},
    ): Promise<KubeList<T>> =>
      call(
        "GET",
        apiPath(ref, { namespace: options.namespace, query: listQuery(options) }),
        options.signal,
        undefined,
        undefined,
        acceptFor("PartialObjectMetadataList", options.metadataOnly),
      ),

    watch: <T extends KubeObject>(
      ref: ResourceRef,
      options: WatchOptions = {},
    ): AsyncIterable<WatchEvent<T>> => watch<T>(send, ref, options),

    create: (ref, object, options = {}) =>
      call(
        "POST",
        apiPath(ref, {
          namespace: namespaceOf(ref, object),
          ...(options.subresource === undefined
            ? {}
            : { name: object.metadata.name, subresource: options.subresource }),
          query: writeQuery(options),
        }),
        options.signal,
        object,
      ),

    update: (ref, object, options = {}) =>
      call(
        "PUT",
        apiPath(ref, {
          namespace: namespaceOf(ref, object),
          name: object.metadata.name ?? "",
          subresource: options.subresource,
          query: writeQuery(options),
        }),
        options.signal,
        object,
      ),

    patch: (ref, name, namespace, type, patch, options = {}) =>
      call(
        "PATCH",
        apiPath(ref, {
          namespace,
          name,
          subresource: options.subresource,
          query: { ...writeQuery(options), force: options.force },
        }),
        options.signal,
        patch,
        patchContentTypes[type],
      ),

    delete: async (ref, name, namespace, options = {}) => {
      await call("DELETE", apiPath(ref, { namespace, name }), options.signal, deleteBody(options));
    },

    createSubresource: (ref, name, namespace, subresource, object) =>
      call("POST", apiPath(ref, { namespace, name, subresource }), undefined, object),

    raw: async (method, path, body, signal) => {
      const response = await send({
        method,
        path,
        headers: {
          accept: "application/json, */*",
          ...(body === undefined ? {} : { "content-type": "application/json" }),
        },
        ...(body === undefined ? {} : { body: Buffer.from(JSON.stringify(body)) }),
        ...(signal === undefined ? {} : { signal }),
      });
      const text = await readText(response, signal);
      const isJson = response.headers["content-type"]?.includes("json") === true;
      return isJson ? parseJson(text) : text;
    },
  };
}

async function* watch<T extends KubeObject>(
  send: (request: ApiRequest) => Promise<ApiResponse>,
  ref: ResourceRef,
  options: WatchOptions,
): AsyncGenerator<WatchEvent<T>, void, undefined> {
  const { signal } = options;
  const query: Query = {
    watch: true,
    labelSelector: options.labelSelector,
    fieldSelector: options.fieldSelector,
    resourceVersion: options.resourceVersion,
    allowWatchBookmarks: options.allowWatchBookmarks,
    sendInitialEvents: options.sendInitialEvents,
    resourceVersionMatch: options.sendInitialEvents === true ? "NotOlderThan" : undefined,
    timeoutSeconds: options.timeoutSeconds,
  };
  const response = await send({
    method: "GET",
    path: apiPath(ref, { namespace: options.namespace, query }),
    headers: { accept: acceptFor("PartialObjectMetadata", options.metadataOnly) },
    ...(signal === undefined ? {} : { signal }),
  });
  yield* watchEvents<T>(response.body, signal);
}

function listQuery(options: ListOptions): Query {
  return {
    labelSelector: options.labelSelector,
    fieldSelector: options.fieldSelector,
    limit: options.limit,
    continue: options.continue,
    resourceVersion: options.resourceVersion,
    resourceVersionMatch: options.resourceVersionMatch,
  };
}

function writeQuery(options: WriteOptions): Query {
  return {
    dryRun: options.dryRun === true ? "All" : undefined,
    fieldManager: options.fieldManager,
  };
}

function deleteBody(options: DeleteOptions): unknown {
  const { gracePeriodSeconds, propagationPolicy, preconditions, dryRun } = options;
  return {
    kind: "DeleteOptions",
    apiVersion: "v1",
    ...(gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds }),
    ...(propagationPolicy === undefined ? {} : { propagationPolicy }),
    ...(preconditions === undefined ? {} : { preconditions }),
    ...(dryRun === true ? { dryRun: ["All"] } : {}),
  };
}

function namespaceOf(ref: ResourceRef, object: KubeObject): string | undefined {
  return ref.namespaced ? object.metadata.namespace : undefined;
}

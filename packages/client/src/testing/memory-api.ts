import {
  applyJsonPatch,
  applyMergePatch,
  applyStrategicMergePatch,
  formatGroupVersion,
  newBadRequest,
  newExpired,
  newMethodNotSupported,
  newNotFound,
  newTooLargeResourceVersion,
  newUnsupportedMediaType,
  parseGroupVersion,
  statusOf,
  successStatus,
  type Json,
  type JsonObject,
  type KubeObject,
  type Scale,
} from "@wherry/machinery";
import { systemClock, type Clock } from "@wherry/service-kit";
import type { ApiClient, ResourceRef } from "../api-client.ts";
import { createApiClient } from "../create-api-client.ts";
import { resources } from "../resources.ts";
import type { ApiRequest, ApiResponse, ApiTransport } from "../transport.ts";
import { memoryPatchSchema } from "./memory-patch-schema.ts";
import {
  isTrue,
  named,
  parseTarget,
  readDeleteOptions,
  readJson,
  readObject,
  updatePart,
  type MemoryTarget,
} from "./memory-request.ts";
import { isSelected, parseSelection, visibleChange } from "./memory-selection.ts";
import { createMemoryStore, tableId, type MemoryChange } from "./memory-store.ts";
import { createMemorySubresources } from "./memory-subresources.ts";
import { bookmark, createMemoryWatch, type MemoryWatchBody } from "./memory-watch.ts";
import { createMemoryWrites } from "./memory-writes.ts";
import { createSeededRandom } from "./seeded-random.ts";

/**
 * An API server in memory for tests of controllers, scheduler and node agent: names, versions, conflicts, selectors, paging, watches,
 * the status, scale, binding, eviction, token and finalize subresources, finalizers and graceful deletion as upstream has them. It knows no
 * authentication, admission, defaulting or validation beyond names, and server-side apply is a merge without owners.
 */
export interface MemoryApi extends ApiTransport {
  readonly client: ApiClient;
  /** Stores objects as they are, status included; what is missing of uid and creationTimestamp is filled in. Kind decides the resource. */
  seed(...objects: readonly KubeObject[]): void;
  /** A frozen object, or undefined. As with ApiClient, the caller says which type the resource has. */
  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters
  get<T extends KubeObject>(ref: ResourceRef, name: string, namespace?: string): T | undefined;
  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters
  list<T extends KubeObject>(ref: ResourceRef, namespace?: string): readonly T[];
  /** Every request so far, oldest first, as "GET /api/v1/pods?watch=true". */
  readonly requests: readonly string[];
  /**
   * Looks at each request before it is answered. An Error rejects the call as a lost connection does; an ApiError is answered as Status;
   * undefined lets it pass. Returns the removal.
   */
  intercept(handler: (request: ApiRequest) => Error | undefined): () => void;
  /** Sends a bookmark to every watch that asked for them. */
  sendBookmarks(): void;
  /** Breaks every watch off, as a restart of the server does. */
  breakWatches(): void;
  /** Forgets history: watches that resume from before get 410. */
  compact(): void;
  readonly watches: number;
}

export interface MemoryApiOptions {
  /** systemClock by default. */
  readonly clock?: Clock;
  /** For generated names; seeded with 1 by default. */
  readonly random?: () => number;
  /** Refs of resources beyond the built-in ones. */
  readonly resources?: readonly ResourceRef[];
  /** Delays every watch event by up to `maxMs` on the clock, reproducibly; the order within a watch stays. */
  readonly watchLag?: { readonly seed: number; readonly maxMs: number };
}

/** Lists that are being paged through; the oldest is forgotten beyond this. */
const pagedListsMax = 100;

export function createMemoryApi(options: MemoryApiOptions = {}): MemoryApi {
  const { clock = systemClock, random = createSeededRandom(1), watchLag } = options;
  const refs: readonly ResourceRef[] = [...Object.values(resources), ...(options.resources ?? [])];
  const store = createMemoryStore();
  const writes = createMemoryWrites({ store, clock, random });
  const subresources = createMemorySubresources({ store, writes, clock });
  const requests: string[] = [];
  const interceptors = new Set<(request: ApiRequest) => Error | undefined>();
  const watches = new Map<MemoryWatchBody, () => void>();
  const pagedLists = new Map<
    string,
    { readonly items: readonly KubeObject[]; readonly revision: number }
  >();
  const lagRandom = createSeededRandom(watchLag?.seed ?? 0);
  let tokens = 0;

  const answer = (request: ApiRequest): ApiResponse => {
    const target = parseTarget(refs, request.path);
    const { ref, name, namespace, subresource, query } = target;
    const dryRun = query.get("dryRun") === "All";
    switch (request.method) {
      case "GET":
        if (name === undefined) {
          return isTrue(query.get("watch"))
            ? watch(target, request.signal)
            : json(200, list(target));
        }
        return json(
          200,
          subresource === "scale" ? subresources.readScale(ref, namespace, name) : need(target),
        );
      case "POST": {
        const body = readObject(request);
        if (name === undefined) return json(201, writes.create(ref, namespace, body, dryRun));
        return json(201, subresources.post(ref, namespace, name, subresource ?? "", body));
      }
      case "PUT": {
        const body = readObject(request);
        if (name === undefined) throw newMethodNotSupported(ref, "update");
        if (subresource === "scale")
          return json(200, subresources.writeScale(ref, namespace, name, body as Scale));
        return json(200, writes.update(ref, named(target, body), updatePart(target), dryRun));
      }
      case "PATCH":
        return json(200, patch(target, request, dryRun));
      case "DELETE":
        return remove(target, request);
    }
  };

  const need = (target: MemoryTarget): KubeObject => {
    const object = store.get(target.ref, target.namespace, target.name ?? "");
    if (object === undefined) throw newNotFound(target.ref, target.name ?? "");
    return object;
  };

  const list = ({ ref, namespace, query }: MemoryTarget): unknown => {
    const selection = parseSelection(ref, query);
    checkRevision(query.get("resourceVersion"), query.get("resourceVersionMatch"));
    const token = query.get("continue") ?? "";
    const paged = token === "" ? undefined : pagedLists.get(token);
    if (token !== "" && paged === undefined) {
      throw newExpired(
        "The provided continue parameter is too old to display a consistent list result.",
      );
    }
    const items =
      paged?.items ??
      store.list(ref, namespace).filter((object) => isSelected(ref, selection, object));
    const revision = paged?.revision ?? store.revision;
    const limit = Number(query.get("limit") ?? 0);
    const isCut = limit > 0 && items.length > limit;
    const page = isCut ? items.slice(0, limit) : items;
    return {
      kind: `${ref.kind}List`,
      apiVersion: formatGroupVersion(ref),
      metadata: {
        resourceVersion: String(revision),
        ...(isCut
          ? {
              continue: keepRest(items.slice(limit), revision),
              ...(selection.labels.empty && selection.fields.empty
                ? { remainingItemCount: items.length - limit }
                : {}),
            }
          : {}),
      },
      items: page.map(({ kind: _kind, apiVersion: _apiVersion, ...item }) => item),
    };
  };

  const keepRest = (items: readonly KubeObject[], revision: number): string => {
    tokens += 1;
    const token = `page-${tokens}`;
    pagedLists.set(token, { items, revision });
    const [oldest] = pagedLists.keys();
    if (pagedLists.size > pagedListsMax && oldest !== undefined) pagedLists.delete(oldest);
    return token;
  };

  /** "Exact" is answered for the current revision only; a revision ahead is 504 at once. */
  const checkRevision = (asked: string | null, match: string | null): void => {
    if (asked === null || asked === "" || asked === "0") return;
    const revision = Number(asked);
    if (!Number.isSafeInteger(revision)) {
      throw newBadRequest(
        `resourceVersion: Invalid value: ${JSON.stringify(asked)}: strconv.ParseUint: parsing ${JSON.stringify(asked)}: invalid syntax`,
      );
    }
    if (revision > store.revision)
      throw newTooLargeResourceVersion(asked, String(store.revision), 1);
    if (match === "Exact" && revision < store.revision) {
      throw newExpired("The resourceVersion for the provided list is too old.");
    }
  };

  const watch = (target: MemoryTarget, signal: AbortSignal | undefined): ApiResponse => {
    const { ref, query } = target;
    const selection = parseSelection(ref, query);
    const type = { apiVersion: formatGroupVersion(ref), kind: ref.kind };
    const namespace = target.name === undefined ? target.namespace : undefined;
    const asked = query.get("resourceVersion") ?? "";
    const wantsInitial = isTrue(query.get("sendInitialEvents"));
    let stopListening = (): void => {};
    const body = createMemoryWatch({
      signal,
      onClose: () => {
        stopListening();
        watches.delete(body);
      },
      ...(watchLag === undefined
        ? {}
        : { lag: { clock, nextMs: () => Math.floor(lagRandom() * watchLag.maxMs) } }),
    });
    const offer = (change: MemoryChange): void => {
      if (change.resource !== tableId(ref)) return;
      if (namespace !== undefined && change.object.metadata.namespace !== namespace) return;
      const event = visibleChange(ref, selection, change);
      if (event !== undefined) body.send(event, change.object);
    };
    const sendCurrent = (): void => {
      for (const object of store.list(ref, namespace)) {
        if (isSelected(ref, selection, object)) body.send("ADDED", object);
      }
    };
    try {
      if (wantsInitial) {
        sendCurrent();
        body.send("BOOKMARK", bookmark(type, store.revision, true));
      } else if (asked === "" || asked === "0") {
        sendCurrent();
      } else {
        checkRevision(asked, null);
        for (const change of store.changesAfter(ref, Number(asked))) offer(change);
      }
      stopListening = store.onChange(offer);
    } catch (error) {
      body.sendError(error);
      body.end();
    }
    const sendBookmark = (): void => {
      if (isTrue(query.get("allowWatchBookmarks")))
        body.send("BOOKMARK", bookmark(type, store.revision, false));
    };
    watches.set(body, sendBookmark);
    const seconds = Number(query.get("timeoutSeconds") ?? 0);
    if (seconds > 0) {
      const timer = clock.setTimer(seconds * 1000, () => body.end());
      const stop = stopListening;
      stopListening = () => {
        timer.cancel();
        stop();
      };
    }
    return { status: 200, headers: { "content-type": "application/json" }, body: body.body };
  };

  const patch = (target: MemoryTarget, request: ApiRequest, dryRun: boolean): unknown => {
    const { ref, namespace, name, subresource } = target;
    if (name === undefined) throw newMethodNotSupported(ref, "patch");
    const contentType = request.headers?.["content-type"]?.split(";")[0] ?? "";
    const change = readJson(request);
    if (
      contentType === "application/apply-patch+yaml" &&
      store.get(ref, namespace, name) === undefined
    ) {
      return writes.create(ref, namespace, named(target, change as unknown as KubeObject), dryRun);
    }
    const scale =
      subresource === "scale" ? subresources.readScale(ref, namespace, name) : undefined;
    const old = (scale ?? need(target)) as unknown as JsonObject;
    const next = applyPatch(ref, contentType, old, change) as unknown as KubeObject;
    if (scale !== undefined) return subresources.writeScale(ref, namespace, name, next as Scale);
    return writes.update(ref, named(target, next), updatePart(target), dryRun);
  };

  const remove = (target: MemoryTarget, request: ApiRequest): ApiResponse => {
    const { ref, namespace, name } = target;
    const deleteOptions = readDeleteOptions(target, request);
    if (name === undefined) {
      const selection = parseSelection(ref, target.query);
      for (const object of store.list(ref, namespace)) {
        if (isSelected(ref, selection, object)) writes.delete(ref, object, deleteOptions);
      }
      return json(200, successStatus({}));
    }
    const object = need(target);
    const left = writes.delete(ref, object, deleteOptions);
    if (left !== undefined) return json(200, left);
    const { uid } = object.metadata;
    return json(
      200,
      successStatus({
        name,
        ...(ref.group === "" ? {} : { group: ref.group }),
        kind: ref.resource,
        ...(uid === undefined ? {} : { uid }),
      }),
    );
  };

  const api: MemoryApi = {
    async roundTrip(request) {
      await Promise.resolve();
      if (request.signal?.aborted === true)
        throw new Error("aborted", { cause: request.signal.reason });
      requests.push(`${request.method} ${request.path}`);
      try {
        for (const interceptor of interceptors) {
          const error = interceptor(request);
          if (error !== undefined) throw error;
        }
        return answer(request);
      } catch (error) {
        const status = statusOf(error);
        if (!isOperating(error)) throw error;
        return json(status.code ?? 500, status);
      }
    },
    get client() {
      return client;
    },
    seed(...objects) {
      for (const object of objects) {
        const ref = refOf(refs, object);
        const existing = store.get(ref, object.metadata.namespace, object.metadata.name ?? "");
        if (existing !== undefined) {
          store.put(ref, {
            ...object,
            metadata: {
              ...object.metadata,
              uid: object.metadata.uid ?? existing.metadata.uid ?? "",
            },
          });
          continue;
        }
        const { metadata, ...rest } = object;
        const fresh = writes.create(
          ref,
          metadata.namespace,
          { ...rest, metadata: withoutVersion(metadata) },
          true,
        );
        store.put(ref, {
          ...fresh,
          ...rest,
          metadata: { ...fresh.metadata, ...withoutVersion(metadata) },
        });
      }
    },
    get: ((ref, name, namespace) => store.get(ref, namespace, name)) as MemoryApi["get"],
    list: ((ref, namespace) => store.list(ref, namespace)) as MemoryApi["list"],
    get requests() {
      return requests;
    },
    intercept(handler) {
      interceptors.add(handler);
      return () => interceptors.delete(handler);
    },
    sendBookmarks() {
      for (const send of watches.values()) send();
    },
    breakWatches() {
      for (const body of watches.keys()) body.break();
    },
    compact: () => store.compact(),
    get watches() {
      return watches.size;
    },
  };
  const client = createApiClient(api);
  return api;
}

function applyPatch(ref: ResourceRef, contentType: string, old: JsonObject, change: Json): Json {
  switch (contentType) {
    case "application/json-patch+json":
      return applyJsonPatch(old, change);
    case "application/merge-patch+json":
    case "application/apply-patch+yaml":
      return applyMergePatch(old, change);
    case "application/strategic-merge-patch+json":
      return applyStrategicMergePatch(old, change as JsonObject, memoryPatchSchema(ref.resource));
    default:
      throw newUnsupportedMediaType([
        "application/json-patch+json",
        "application/merge-patch+json",
        "application/strategic-merge-patch+json",
        "application/apply-patch+yaml",
      ]);
  }
}

function refOf(refs: readonly ResourceRef[], object: KubeObject): ResourceRef {
  const { kind = "", apiVersion = "" } = object;
  const { group, version } = parseGroupVersion(apiVersion);
  const ref = refs.find(
    (one) => one.group === group && one.version === version && one.kind === kind,
  );
  if (ref === undefined) {
    throw new Error(
      `seed: no resource is known for apiVersion ${JSON.stringify(apiVersion)} and kind ${JSON.stringify(kind)}`,
    );
  }
  return ref;
}

function withoutVersion(metadata: KubeObject["metadata"]): KubeObject["metadata"] {
  const { resourceVersion: _resourceVersion, ...rest } = metadata;
  return rest;
}

function json(status: number, body: unknown): ApiResponse {
  const bytes = Buffer.from(JSON.stringify(body));
  async function* once(): AsyncGenerator<Uint8Array, void, undefined> {
    yield bytes;
  }
  return { status, headers: { "content-type": "application/json" }, body: once() };
}

/** True for what the server answers with a Status; anything else is a lost connection or a mistake in the test. */
function isOperating(error: unknown): boolean {
  return error instanceof Error && (error.name === "ApiError" || error.name === "MachineryError");
}

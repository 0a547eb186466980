/**
 * The resource requests: finds the definition, checks that the verb exists, and runs it. Authentication and authorisation have been done
 * (`request-chain.ts`). Paths that no resource serves are answered as upstream's router answers them.
 */
import {
  isApiError,
  newGenericFailure,
  newMethodNotSupported,
  newUnknownResource,
  successStatus,
  type Json,
  type KubeObject,
  type Status,
  type UserInfo,
} from "@wherry/machinery";
import type { EtcdStore } from "@wherry/etcd-api";
import {
  definitionNameOf,
  hasProtobufForm,
  schemaOf,
  type DecodeTarget,
  type Draft,
  type ResourceDefinition,
  type ResourceRegistry,
} from "@wherry/schema";
import type { Clock, Counter, Gauge } from "@wherry/service-kit";
import {
  isStatus,
  sendNotFoundText,
  sendPieces,
  sendValue,
  warningHeader,
  type Warnings,
} from "./answer.ts";
import type { BookmarkClock } from "./bookmark-clock.ts";
import { CacheEntry } from "./cache-entry.ts";
import type { AdmissionPlugin, AdmissionRequest, RequestInfo } from "./chain.ts";
import { deprecationWarning } from "./deprecated-resources.ts";
import type { EtcdObjectStore } from "./etcd-object-store.ts";
import type { Exchange } from "./exchange.ts";
import { checkName, createAdmission, setNamespace } from "./generic-operations.ts";
import { joinList, sendList, sendProtobufList } from "./list-body.ts";
import { parseListOptions, parseResourceVersion } from "./list-options.ts";
import { negotiate, type Representation } from "./negotiation.ts";
import { createEncoding } from "./object-encoding.ts";
import { createObjectSelector } from "./object-selector.ts";
import { readPatch } from "./patch-request.ts";
import { headerText, readDeleteOptions, readObject } from "./request-body.ts";
import { pathBehindSubresource } from "./request-info.ts";
import { parseDeleteOptions, parseWriteOptions, type WriteOptionsKind } from "./request-options.ts";
import type { ResourceCache } from "./resource-cache.ts";
import type { ResourceOperations, WriteContext } from "./resource-operations.ts";
import { listEntries, waitFor } from "./rest-list.ts";
import { prepareWatch, runWatch } from "./rest-watch.ts";
import { returnsDeletedObject } from "./returned-deletions.ts";
import { ServedResource } from "./served-resource.ts";
import type {
  ConnectSubresource,
  ObjectSubresource,
  SubresourceHandler,
  SubresourceRequest,
} from "./subresource-handler.ts";
import { objectPath } from "./storage-keys.ts";
import { encodeValue } from "./stored-value.ts";
import { createTurns } from "./turns.ts";
import type { WatchCache } from "./watch-cache.ts";

export interface RestDeps {
  readonly registry: ResourceRegistry;
  readonly store: EtcdStore;
  readonly cache: WatchCache;
  readonly objects: EtcdObjectStore;
  readonly operations: ResourceOperations;
  readonly plugins: () => readonly AdmissionPlugin[];
  readonly handlers: () => readonly SubresourceHandler[];
  readonly clock: Clock;
  readonly bookmarks: BookmarkClock;
  readonly random: () => number;
  /** Aborted when watches have to end. */
  readonly shutdown: AbortSignal;
  readonly watchEvents: Counter;
  readonly longRunning: Gauge;
}

export interface RestRequest {
  readonly exchange: Exchange;
  readonly info: RequestInfo;
  readonly user: UserInfo;
  readonly warnings: Warnings;
}

export interface RestApi {
  /** Answers the request, or throws what is to be answered as a Status. */
  handle(request: RestRequest): Promise<void>;
  served(definition: ResourceDefinition): ServedResource;
}

const objectTransformations = new Set(["Table", "PartialObjectMetadata"]);
const listTransformations = new Set([
  "Table",
  "PartialObjectMetadataList",
  "PartialObjectMetadata",
]);
const noTransformations = new Set<string>();
const stableMethods: Readonly<Record<string, string>> = {
  POST: "create",
  GET: "get",
  HEAD: "get",
  PUT: "update",
  PATCH: "patch",
  DELETE: "delete",
};

export function createRestApi(deps: RestDeps): RestApi {
  const { registry, cache, objects, operations, clock } = deps;
  const admission = createAdmission(deps.plugins);
  const servedByDefinition = new WeakMap<ResourceDefinition, ServedResource>();

  const served = (definition: ResourceDefinition): ServedResource => {
    let found = servedByDefinition.get(definition);
    if (found === undefined) {
      found = new ServedResource(definition);
      servedByDefinition.set(definition, found);
    }
    return found;
  };

  const handle = async (request: RestRequest): Promise<void> => {
    const { exchange, info, warnings } = request;
    const definition = registry.find({
      group: info.apiGroup,
      version: info.apiVersion,
      resource: info.resource,
    });
    if (definition === undefined) {
      for (const other of registry) {
        if (other.group === info.apiGroup && other.version === info.apiVersion)
          throw newUnknownResource();
      }
      return sendNotFoundText(exchange);
    }
    const isNamespaceItself = definition.group === "" && definition.resource === "namespaces";
    const namespace = isNamespaceItself ? "" : info.namespace;
    if (!definition.namespaced && namespace !== "") throw newUnknownResource();
    const deprecation = deprecationWarning(info.apiGroup, info.apiVersion, info.resource);
    if (deprecation !== undefined) warnings.add(deprecation);
    if (info.subresource !== "") return handleSubresource(request, definition, namespace);
    if (definition.storagePrefix === undefined)
      return handleVirtual(request, definition, namespace);

    const onCollection = info.name === "" || info.verb === "list" || info.verb === "watch";
    const method = exchange.method;
    const verb = onCollection && method === "DELETE" ? "deletecollection" : info.verb;
    const allowedHere = onCollection
      ? ["list", "watch", "create", "deletecollection"]
      : ["get", "update", "patch", "delete"];
    const needsNamespace =
      definition.namespaced && namespace === "" && verb !== "list" && verb !== "watch";
    if (!allowedHere.includes(verb) || !definition.verbs.includes(verb) || needsNamespace)
      throw newGenericFailure(405);
    switch (verb) {
      case "get":
        return getObject(request, definition, namespace);
      case "list":
        return listObjects(request, definition, namespace);
      case "watch":
        return watchObjects(request, definition, namespace);
      case "create":
        return createObject(request, definition, namespace);
      case "update":
        return updateObject(request, definition, namespace, "");
      case "patch":
        return patchObject(request, definition, namespace, "");
      case "delete":
        return deleteObject(request, definition, namespace);
      default:
        return deleteObjects(request, definition, namespace);
    }
  };

  const representationOf = (
    { exchange, info }: RestRequest,
    transformable: ReadonlySet<string>,
  ): Representation =>
    negotiate(
      headerText(exchange, "accept"),
      info.query,
      headerText(exchange, "user-agent"),
      transformable,
      () =>
        hasProtobufForm(
          info.apiGroup === "" ? info.apiVersion : `${info.apiGroup}/${info.apiVersion}`,
          "Status",
        ),
    );

  const cacheOf = (definition: ResourceDefinition): ResourceCache => {
    const found =
      definition.storagePrefix === undefined ? undefined : cache.cache(definition.storagePrefix);
    if (found === undefined) throw newGenericFailure(503);
    return found;
  };

  /** Sends an object that came out of the store or an operation, in the served version. */
  const sendObject = async (
    request: RestRequest,
    definition: ResourceDefinition,
    code: number,
    object: KubeObject,
    representation: Representation,
  ): Promise<void> => {
    const { exchange, info, warnings } = request;
    const resource = served(definition);
    const stored = objects.valueOf(object);
    if (stored !== undefined && representation.transformation === "none") {
      const tail = resource.tailOfValue(stored.value, () => object);
      return sendPieces(
        exchange,
        code,
        [resource.objectHead(stored.revision), tail],
        representation,
        warnings.texts,
      );
    }
    if (representation.transformation === "none")
      return sendValue(exchange, code, object as unknown as Json, representation, warnings.texts);
    const revision = Number(object.metadata.resourceVersion ?? 0);
    const path = objectPath(object.metadata.namespace ?? "", object.metadata.name ?? "");
    const type = { kind: definition.kind, apiVersion: definition.storageVersion };
    const entry = new CacheEntry(path, revision, encodeValue(type, resource.toStorage(object)));
    const encoding = createEncoding(resource, representation, info.query, clock);
    return sendPieces(
      exchange,
      code,
      (encoding.firstObject ?? encoding.object)(entry, revision),
      representation,
      warnings.texts,
    );
  };

  const getObject = async (
    request: RestRequest,
    definition: ResourceDefinition,
    namespace: string,
  ): Promise<void> => {
    const { exchange, info, warnings } = request;
    const representation = representationOf(request, objectTransformations);
    const resource = served(definition);
    const encoding = createEncoding(resource, representation, info.query, clock);
    const version = parseResourceVersion(info.query.get("resourceVersion") ?? "");
    const entries = cacheOf(definition);
    if (version === undefined) await cache.catchUp(exchange.signal);
    else await waitFor(cache, version, exchange.signal);
    const entry = entries.snapshot.get(objectPath(namespace, info.name));
    if (entry === undefined) {
      // Throws NotFound in the store's words.
      await objects.get(definition, namespace, info.name, { signal: exchange.signal });
      throw newGenericFailure(404);
    }
    return sendPieces(
      exchange,
      200,
      (encoding.firstObject ?? encoding.object)(entry, entry.revision),
      representation,
      warnings.texts,
    );
  };

  const listObjects = async (
    request: RestRequest,
    definition: ResourceDefinition,
    namespace: string,
  ): Promise<void> => {
    const { exchange, info, warnings } = request;
    const representation = representationOf(request, listTransformations);
    const resource = served(definition);
    const encoding = createEncoding(resource, representation, info.query, clock);
    const options = parseListOptions(info.query, resource, false);
    const selector = createObjectSelector(resource, namespace, options);
    const result = await listEntries(
      deps,
      resource,
      cacheOf(definition),
      selector,
      options,
      exchange.signal,
    );
    if (representation.media === "protobuf")
      return sendProtobufList(exchange, result, encoding, warnings.texts, clock);
    if (representation.media === "yaml" || representation.pretty) {
      return sendPieces(
        exchange,
        200,
        [joinList(result, encoding)],
        representation,
        warnings.texts,
      );
    }
    return sendList(exchange, result, encoding, warnings.texts, clock);
  };

  const watchObjects = async (
    request: RestRequest,
    definition: ResourceDefinition,
    namespace: string,
  ): Promise<void> => {
    const { exchange, info, warnings } = request;
    const representation = representationOf(request, objectTransformations);
    const resource = served(definition);
    const options = parseListOptions(info.query, resource, true);
    const labels = { group: info.apiGroup, version: info.apiVersion, kind: definition.kind };
    const watch = {
      objects: cacheOf(definition),
      type: { kind: definition.kind, apiVersion: definition.storageVersion },
      selector: createObjectSelector(resource, namespace, options),
      encoding: createEncoding(resource, representation, info.query, clock),
      options,
      signal: exchange.signal,
      onEvent: () => deps.watchEvents.increment(labels),
    };
    const start = await prepareWatch(deps, watch);
    const stream = exchange.startStream(200, {
      "content-type":
        representation.media === "protobuf"
          ? "application/vnd.kubernetes.protobuf;stream=watch"
          : "application/json",
      "cache-control": "no-cache, private",
      ...warningHeader(warnings.texts),
    });
    const running = {
      verb: "WATCH",
      group: info.apiGroup,
      version: info.apiVersion,
      resource: info.resource,
    };
    deps.longRunning.add(1, running);
    try {
      await runWatch(deps, watch, start, stream);
    } finally {
      deps.longRunning.add(-1, running);
    }
  };

  const writeContext = (
    { exchange, user, warnings }: RestRequest,
    dryRun: boolean,
  ): WriteContext => ({
    user,
    dryRun,
    signal: exchange.signal,
    warn: (text) => warnings.add(text),
  });

  const createObject = async (
    request: RestRequest,
    definition: ResourceDefinition,
    namespace: string,
  ): Promise<void> => {
    const representation = representationOf(request, objectTransformations);
    const options = parseWriteOptions("CreateOptions", request.info.query);
    const { object, warnings } = await readObject(
      request.exchange,
      definition,
      options.fieldValidation,
    );
    for (const text of warnings) request.warnings.add(text);
    const created = await operations.create(
      definition,
      namespace,
      object,
      writeContext(request, options.dryRun),
    );
    return sendObject(request, definition, 201, created, representation);
  };

  const updateObject = async (
    request: RestRequest,
    definition: ResourceDefinition,
    namespace: string,
    subresource: string,
  ): Promise<void> => {
    const representation = representationOf(request, objectTransformations);
    const options = parseWriteOptions("UpdateOptions", request.info.query);
    const { object, warnings } = await readObject(
      request.exchange,
      definition,
      options.fieldValidation,
    );
    for (const text of warnings) request.warnings.add(text);
    const outcome = await operations.update(
      definition,
      namespace,
      request.info.name,
      () => structuredClone(object),
      { subresource, allowCreate: true },
      writeContext(request, options.dryRun),
    );
    return sendObject(
      request,
      definition,
      outcome.created ? 201 : 200,
      outcome.object,
      representation,
    );
  };

  const patchObject = async (
    request: RestRequest,
    definition: ResourceDefinition,
    namespace: string,
    subresource: string,
  ): Promise<void> => {
    const representation = representationOf(request, objectTransformations);
    const options = parseWriteOptions("PatchOptions", request.info.query);
    const patch = await readPatch(request.exchange, definition, options.fieldValidation);
    const outcome = await operations.update(
      definition,
      namespace,
      request.info.name,
      (current) => {
        // Only updates of what is there reach this: PATCH creates nothing.
        const { object, warnings } = patch.apply(current!);
        for (const text of warnings) request.warnings.add(text);
        return object;
      },
      { subresource },
      writeContext(request, options.dryRun),
    );
    return sendObject(request, definition, 200, outcome.object, representation);
  };

  const deleteObject = async (
    request: RestRequest,
    definition: ResourceDefinition,
    namespace: string,
  ): Promise<void> => {
    const { exchange, info, warnings } = request;
    const representation = representationOf(request, objectTransformations);
    const options = parseDeleteOptions(info.query, await readDeleteOptions(exchange));
    const { object, removed } = await operations.delete(
      definition,
      namespace,
      info.name,
      options.parameters,
      writeContext(request, options.dryRun),
    );
    const code = !removed && options.parameters.orphanDependents === false ? 202 : 200;
    if (!removed || returnsDeletedObject(definition))
      return sendObject(request, definition, code, object, representation);
    const { group, resource } = definition;
    const { uid } = object.metadata;
    const status = successStatus({
      name: info.name,
      ...(group === "" ? {} : { group }),
      kind: resource,
      ...(uid === undefined ? {} : { uid }),
    });
    return sendValue(
      exchange,
      code,
      status as unknown as Json,
      { ...representation, transformation: "none" },
      warnings.texts,
    );
  };

  const deleteObjects = async (
    request: RestRequest,
    definition: ResourceDefinition,
    namespace: string,
  ): Promise<void> => {
    const { exchange, info, warnings } = request;
    const representation = representationOf(request, listTransformations);
    const body = parseDeleteOptions(info.query, await readDeleteOptions(exchange));
    const resource = served(definition);
    const options = parseListOptions(info.query, resource, false);
    const selector = createObjectSelector(resource, namespace, options);
    const result = await listEntries(
      deps,
      resource,
      cacheOf(definition),
      selector,
      options,
      exchange.signal,
    );
    const turns = createTurns(clock);
    for (const entry of result.entries) {
      const { namespace: of = "", name = "" } = entry.object().metadata;
      try {
        await operations.delete(
          definition,
          of,
          name,
          body.parameters,
          writeContext(request, body.dryRun),
        );
      } catch (error) {
        if (!isApiError(error, "NotFound")) throw error;
      }
      if (turns.isOver()) await turns.next();
    }
    const encoding = createEncoding(resource, representation, info.query, clock);
    if (representation.media === "protobuf")
      return sendProtobufList(exchange, result, encoding, warnings.texts, clock);
    if (representation.media === "yaml" || representation.pretty) {
      return sendPieces(
        exchange,
        200,
        [joinList(result, encoding)],
        representation,
        warnings.texts,
      );
    }
    return sendList(exchange, result, encoding, warnings.texts, clock);
  };

  const findHandler = (
    definition: ResourceDefinition,
    subresource: string,
  ): SubresourceHandler | undefined =>
    deps
      .handlers()
      .find(
        (one) =>
          one.group === definition.group &&
          one.resource === definition.resource &&
          one.subresource === subresource,
      );

  const subresourceRequest = (
    request: RestRequest,
    definition: ResourceDefinition,
    namespace: string,
    dryRun: boolean,
  ): SubresourceRequest => ({
    definition,
    info: request.info,
    namespace,
    name: request.info.name,
    user: request.user,
    dryRun,
    signal: request.exchange.signal,
    warn: (text) => request.warnings.add(text),
  });

  const handleSubresource = async (
    request: RestRequest,
    definition: ResourceDefinition,
    namespace: string,
  ): Promise<void> => {
    const { exchange, info } = request;
    const described = definition.subresources.find((one) => one.name === info.subresource);
    const handler = findHandler(definition, info.subresource);
    if (described === undefined && handler === undefined) throw newUnknownResource();
    if (definition.namespaced && namespace === "") throw newUnknownResource();
    if (handler?.type === "connect") return connect(request, handler, definition, namespace);
    if (pathBehindSubresource(info) !== "") throw newUnknownResource();
    if (handler !== undefined) {
      const kind = described ?? {
        group: definition.group,
        version: definition.version,
        kind: definition.kind,
      };
      return handleObjectSubresource(request, handler, definition, kind, namespace);
    }
    if (info.subresource !== "status" || described === undefined)
      throw newMethodNotSupported(definition, info.verb);
    const verb = stableMethods[exchange.method] ?? "";
    if (!described.verbs.includes(verb)) throw newGenericFailure(405);
    if (verb === "get") return getObject(request, definition, namespace);
    return verb === "update"
      ? updateObject(request, definition, namespace, "status")
      : patchObject(request, definition, namespace, "status");
  };

  /** Reviews and bindings: resources that are created and kept nowhere. */
  const handleVirtual = async (
    request: RestRequest,
    definition: ResourceDefinition,
    namespace: string,
  ): Promise<void> => {
    const handler = findHandler(definition, "");
    const verb = request.info.verb;
    if (handler === undefined && definition.verbs.includes(verb))
      throw newMethodNotSupported(definition, verb);
    if (handler === undefined || (definition.namespaced && namespace === ""))
      throw newGenericFailure(405);
    if (handler.type === "connect") return connect(request, handler, definition, namespace);
    return handleObjectSubresource(request, handler, definition, definition, namespace);
  };

  const connect = async (
    request: RestRequest,
    handler: ConnectSubresource,
    definition: ResourceDefinition,
    namespace: string,
  ): Promise<void> => {
    const { exchange, info, user } = request;
    const path = pathBehindSubresource(info);
    if (path !== "" && handler.takesPath !== true) throw newUnknownResource();
    if (!handler.methods.includes(exchange.method)) throw newGenericFailure(405);
    const admitted: AdmissionRequest = {
      operation: "CONNECT",
      definition,
      subresource: info.subresource,
      namespace,
      name: info.name,
      user,
      dryRun: false,
      draft: undefined,
      old: undefined,
    };
    await admission.mutate(admitted);
    await admission.validate(admitted);
    await handler.connect({
      ...subresourceRequest(request, definition, namespace, false),
      exchange,
      path,
    });
  };

  const targetOf = (
    definition: ResourceDefinition,
    body: { readonly group: string; readonly version: string; readonly kind: string },
  ): DecodeTarget => {
    const { group, version, kind } = body;
    if (kind === definition.kind && group === definition.group)
      return { group, version, kind, schema: definition.schema };
    const name = definitionNameOf(group, version, kind);
    if (name === undefined) throw newMethodNotSupported(definition, kind);
    return { group, version, kind, schema: schemaOf(name) };
  };

  const handleObjectSubresource = async (
    request: RestRequest,
    handler: ObjectSubresource,
    definition: ResourceDefinition,
    body: { readonly group: string; readonly version: string; readonly kind: string },
    namespace: string,
  ): Promise<void> => {
    const { exchange, info, user } = request;
    const representation = representationOf(request, noTransformations);
    const verb = stableMethods[exchange.method] ?? "";
    const answer = (code: number, value: KubeObject | Status): Promise<void> | void => {
      if (!isStatus(value) && value.kind === definition.kind)
        return sendObject(request, definition, code, value, representation);
      return sendValue(
        exchange,
        isStatus(value) ? (value.code ?? code) : code,
        value as unknown as Json,
        representation,
        request.warnings.texts,
      );
    };
    const admit = async (
      operation: "CREATE" | "UPDATE",
      draft: Draft,
      old: KubeObject | undefined,
      dryRun: boolean,
    ): Promise<void> => {
      const { subresource } = info;
      const admitted: AdmissionRequest = {
        operation,
        definition,
        subresource,
        namespace,
        name: info.name,
        user,
        dryRun,
        draft,
        old,
      };
      await admission.mutate(admitted);
      await admission.validate(admitted);
    };
    const kinds: Readonly<Record<string, WriteOptionsKind>> = {
      create: "CreateOptions",
      update: "UpdateOptions",
      patch: "PatchOptions",
    };
    const kind = kinds[verb];
    if (kind === undefined) {
      if (verb !== "get" || handler.get === undefined) throw newGenericFailure(405);
      return answer(
        200,
        await handler.get(subresourceRequest(request, definition, namespace, false)),
      );
    }
    const options = parseWriteOptions(kind, info.query);
    const target = targetOf(definition, body);
    const inner = subresourceRequest(request, definition, namespace, options.dryRun);
    if (verb === "create") {
      if (handler.create === undefined) throw newGenericFailure(405);
      const { object, warnings } = await readObject(exchange, target, options.fieldValidation);
      for (const text of warnings) request.warnings.add(text);
      await admit("CREATE", object, undefined, options.dryRun);
      return answer(201, await handler.create(inner, object));
    }
    if (handler.update === undefined || (verb === "patch" && handler.get === undefined))
      throw newGenericFailure(405);
    if (verb === "patch") {
      const patch = await readPatch(exchange, target, options.fieldValidation);
      const patched = await handler.update(inner, async (current) => {
        const { object, warnings } = patch.apply(current);
        for (const text of warnings) request.warnings.add(text);
        setNamespace(definition, namespace, object);
        checkName(object, info.name);
        await admit("UPDATE", object, current, options.dryRun);
        return object;
      });
      return answer(200, patched);
    }
    const { object, warnings } = await readObject(exchange, target, options.fieldValidation);
    for (const text of warnings) request.warnings.add(text);
    setNamespace(definition, namespace, object);
    checkName(object, info.name);
    const updated = await handler.update(inner, async (current) => {
      const draft = structuredClone(object);
      await admit("UPDATE", draft, current, options.dryRun);
      return draft;
    });
    return answer(200, updated);
  };

  return { handle, served };
}

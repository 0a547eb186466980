import { resources, type ApiClient, type ResourceRef } from "@wherry/client";
import {
  formatTime,
  isApiError,
  isBeingDeleted,
  isConflict,
  isNotFound,
  type KubeObject,
  type Namespace,
  type Pod,
} from "@wherry/machinery";
import { createReconciler, type Controller, type ControllerContext } from "../core/controller.ts";
import { isEmptied, namespaceConditions, type NamespaceOutcome } from "./namespace-conditions.ts";
import { readCatalog, type CatalogResource, type ResourceCatalog } from "./resource-catalog.ts";

export interface NamespaceControllerConfig {
  /** Reads what a namespace may hold; the server's discovery by default. */
  readonly catalog?: (api: ApiClient, signal: AbortSignal) => Promise<ResourceCatalog>;
}

export const namespaceFinalizer = "kubernetes";

/** What is left is looked at again after this, doubled from time to time. */
const retryMinMs = 500;
const retryMaxMs = 15_000;
/** Resources that are emptied at once. */
const parallelMax = 8;
const pageSize = 500;

/** Empties namespaces that are being deleted, pods first, and lets them go when nothing is left. */
export function createNamespaceController(
  context: ControllerContext,
  config: NamespaceControllerConfig = {},
): Controller {
  const { api, clock, log } = context;
  const namespaces = context.informers.informer<Namespace>(resources.namespaces);
  const pods = context.informers.informer<Pod>(resources.pods);
  const attempts = new Map<string, number>();

  const reconcile = async (
    name: string,
    signal: AbortSignal,
  ): Promise<{ requeueAfterMs: number } | void> => {
    const namespace = namespaces.store.get(name);
    if (namespace === undefined || !isBeingDeleted(namespace)) {
      attempts.delete(name);
      return undefined;
    }
    if (!(namespace.spec.finalizers ?? []).includes(namespaceFinalizer)) return undefined;
    const attempt = attempts.get(name) ?? 0;
    attempts.set(name, attempt + 1);
    const outcome = await empty(name, signal);
    try {
      const reported = await report(namespace, outcome);
      if (isEmptied(outcome)) {
        await finalize(reported);
        return undefined;
      }
    } catch (error) {
      if (isNotFound(error)) return undefined;
      if (!isConflict(error)) throw error;
    }
    if (outcome.deleteErrors.length > 0)
      log.warn(
        { namespace: name, errors: outcome.deleteErrors },
        "a namespace could not be emptied yet",
      );
    return { requeueAfterMs: Math.min(retryMinMs * 2 ** attempt, retryMaxMs) };
  };

  const empty = async (namespace: string, signal: AbortSignal): Promise<NamespaceOutcome> => {
    const catalog = await (config.catalog ?? readCatalog)(api, signal);
    const deleteErrors: string[] = [];
    const remaining = new Map<string, number>();
    const finalizers = new Map<string, number>();
    const emptyOne = async (ref: CatalogResource): Promise<void> => {
      try {
        const left = await emptyResource(ref, namespace, signal);
        if (left.length > 0) remaining.set(`${ref.resource}.${ref.group}`, left.length);
        for (const finalizer of left.flatMap(({ metadata }) => metadata.finalizers ?? []))
          finalizers.set(finalizer, (finalizers.get(finalizer) ?? 0) + 1);
      } catch (error) {
        deleteErrors.push(error instanceof Error ? error.message : String(error));
      }
    };
    const emptyable = catalog.resources.filter(
      (ref) => ref.namespaced && ref.verbs.includes("delete") && ref.verbs.includes("list"),
    );
    const isPods = (ref: ResourceRef): boolean => ref.group === "" && ref.resource === "pods";
    for (const ref of emptyable.filter(isPods)) await emptyOne(ref);
    // What pods need to stop in order (secrets, roles, endpoints) stays until they are gone.
    if (remaining.size === 0 && deleteErrors.length === 0) {
      const rest = emptyable.filter((ref) => !isPods(ref));
      for (let index = 0; index < rest.length; index += parallelMax)
        await Promise.all(rest.slice(index, index + parallelMax).map(emptyOne));
    }
    return { undiscovered: catalog.failures, deleteErrors, remaining, finalizers };
  };

  /** Deletes all objects of a kind and returns those that are still there. */
  const emptyResource = async (
    ref: CatalogResource,
    namespace: string,
    signal: AbortSignal,
  ): Promise<readonly KubeObject[]> => {
    const present = await listAll(ref, namespace, signal);
    if (present.length === 0) return present;
    const options = { kind: "DeleteOptions", apiVersion: "v1", propagationPolicy: "Background" };
    const isDone =
      ref.verbs.includes("deletecollection") &&
      (await deleteCollection(ref, namespace, options, signal));
    if (!isDone) {
      for (const { metadata } of present)
        await api
          .delete(ref, metadata.name ?? "", namespace, { propagationPolicy: "Background", signal })
          .catch(ignoreGone);
    }
    return listAll(ref, namespace, signal);
  };

  const deleteCollection = async (
    ref: ResourceRef,
    namespace: string,
    options: { readonly [key: string]: string },
    signal: AbortSignal,
  ): Promise<boolean> => {
    const root = ref.group === "" ? `/api/${ref.version}` : `/apis/${ref.group}/${ref.version}`;
    try {
      await api.raw(
        "DELETE",
        `${root}/namespaces/${encodeURIComponent(namespace)}/${ref.resource}`,
        options,
        signal,
      );
      return true;
    } catch (error) {
      if (isApiError(error, "MethodNotAllowed") || isNotFound(error)) return false;
      throw error;
    }
  };

  const listAll = async (
    ref: ResourceRef,
    namespace: string,
    signal: AbortSignal,
  ): Promise<readonly KubeObject[]> => {
    const items: KubeObject[] = [];
    let token: string | undefined;
    do {
      const page = await api.list(ref, {
        namespace,
        limit: pageSize,
        metadataOnly: true,
        signal,
        ...(token === undefined ? {} : { continue: token }),
      });
      items.push(...page.items);
      token = page.metadata.continue === "" ? undefined : page.metadata.continue;
    } while (token !== undefined);
    return items;
  };

  /** Writes the conditions where they tell something; a namespace that is emptied at once needs none. */
  const report = async (namespace: Namespace, outcome: NamespaceOutcome): Promise<Namespace> => {
    const present = namespace.status?.conditions ?? [];
    const conditions =
      isEmptied(outcome) && present.length === 0
        ? present
        : namespaceConditions(present, outcome, formatTime(clock.now()));
    if (conditions === present && namespace.status?.phase === "Terminating") return namespace;
    return api.update(
      resources.namespaces,
      { ...namespace, status: { ...namespace.status, phase: "Terminating", conditions } },
      { subresource: "status" },
    );
  };

  const finalize = async (namespace: Namespace): Promise<void> => {
    const finalizers = (namespace.spec.finalizers ?? []).filter(
      (one) => one !== namespaceFinalizer,
    );
    await api.update(
      resources.namespaces,
      { ...namespace, spec: { ...namespace.spec, finalizers } },
      { subresource: "finalize" },
    );
  };

  const reconciler = createReconciler({ name: "namespace", context, reconcile });
  const onNamespace = (namespace: Namespace): void => {
    if (isBeingDeleted(namespace)) reconciler.enqueue(namespace.metadata.name ?? "");
  };
  namespaces.subscribe({
    onAdd: onNamespace,
    onUpdate: (next, old) => void (isBeingDeleted(old) || onNamespace(next)),
    onDelete: ({ metadata: { name = "" } }) => void attempts.delete(name),
  });
  // Pods take their time to stop; the last one calls.
  pods.subscribe({
    onDelete({ metadata: { namespace = "" } }) {
      const owner = namespaces.store.get(namespace);
      if (owner !== undefined && isBeingDeleted(owner) && pods.store.list(namespace).length === 0)
        reconciler.enqueue(namespace);
    },
  });
  return reconciler;
}

function ignoreGone(error: unknown): void {
  if (!isNotFound(error) && !isApiError(error, "MethodNotAllowed")) throw error;
}

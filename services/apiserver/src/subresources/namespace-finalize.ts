import { newConflict, type JsonObject, type KubeObject } from "@wherry/machinery";
import { resourceIds } from "../auth/resource-ids.ts";
import type { ObjectStore } from "../object-store.ts";
import type { ObjectSubresource } from "../subresource-handler.ts";

interface Namespace extends KubeObject {
  readonly spec?: { readonly finalizers?: readonly string[] };
}

/** How the namespace controller says that a namespace is empty: only spec.finalizers is taken, and with the last one gone the namespace goes. */
export function createNamespaceFinalizeHandler(
  store: Pick<ObjectStore, "guaranteedUpdate" | "delete">,
): ObjectSubresource {
  return {
    type: "object",
    group: "",
    resource: "namespaces",
    subresource: "finalize",
    async update(request, build) {
      const options = { dryRun: request.dryRun, signal: request.signal };
      const updated = await store.guaranteedUpdate<Namespace>(
        resourceIds.namespaces,
        "",
        request.name,
        async (draft, current) => {
          const wanted = (await build(current)) as unknown as Namespace;
          const version = wanted.metadata.resourceVersion;
          if (version && version !== current.metadata.resourceVersion)
            throw newConflict(resourceIds.namespaces, request.name);
          const { finalizers: _, ...spec } = (draft["spec"] ?? {}) as JsonObject;
          const finalizers = wanted.spec?.finalizers ?? [];
          draft["spec"] = finalizers.length === 0 ? spec : { ...spec, finalizers };
          return draft;
        },
        options,
      );
      if (!isFinished(updated)) return updated;
      const { uid, resourceVersion } = updated.metadata;
      return store.delete<Namespace>(resourceIds.namespaces, "", request.name, {
        ...options,
        preconditions: {
          ...(uid === undefined ? {} : { uid }),
          ...(resourceVersion === undefined ? {} : { resourceVersion }),
        },
      });
    },
  };
}

function isFinished({ metadata, spec }: Namespace): boolean {
  return (
    metadata.deletionTimestamp !== undefined &&
    (metadata.finalizers ?? []).length === 0 &&
    (spec?.finalizers ?? []).length === 0
  );
}

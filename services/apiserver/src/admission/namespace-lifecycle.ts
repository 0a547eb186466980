import { isNotFound, newNotFound, type KubeObject } from "@wherry/machinery";
import type { AdmissionPlugin } from "../chain.ts";
import type { ObjectStore } from "../object-store.ts";
import { resourceIds } from "../auth/resource-ids.ts";
import { isResource } from "./pod-draft.ts";
import { admissionForbidden } from "./refuse.ts";

interface Namespace extends KubeObject {
  readonly status?: { readonly phase?: string };
}

const immortal: ReadonlySet<string> = new Set(["default", "kube-system", "kube-public"]);

/** Nothing is written in a namespace that does not exist, nothing is created in one that is going, and the system's own namespaces stay. */
export function createNamespaceLifecycle(
  store: Pick<ObjectStore, "get" | "peek">,
): AdmissionPlugin {
  return {
    name: "NamespaceLifecycle",
    async mutate(request) {
      if (isResource(request, "", "namespaces")) {
        if (request.operation === "DELETE" && immortal.has(request.name))
          throw admissionForbidden(request, "this namespace may not be deleted");
        return;
      }
      if (
        request.namespace === "" ||
        request.operation === "DELETE" ||
        isResource(request, "authorization.k8s.io", "localsubjectaccessreviews")
      )
        return;
      const namespace = await findNamespace(store, request.namespace);
      if (namespace === undefined)
        throw newNotFound({ group: "", resource: "namespaces" }, request.namespace);
      if (request.operation !== "CREATE") return;
      if (
        namespace.metadata.deletionTimestamp === undefined &&
        namespace.status?.phase !== "Terminating"
      )
        return;
      throw admissionForbidden(
        request,
        `unable to create new content in namespace ${request.namespace} because it is being terminated`,
        [
          {
            reason: "NamespaceTerminating",
            message: `namespace ${request.namespace} is being terminated`,
            field: "metadata.namespace",
          },
        ],
      );
    },
  };
}

/** The cache may be a moment behind a namespace that was just created; only then the store is waited for. */
async function findNamespace(
  store: Pick<ObjectStore, "get" | "peek">,
  name: string,
): Promise<Namespace | undefined> {
  const cached = store.peek<Namespace>(resourceIds.namespaces, "", name);
  if (cached !== undefined) return cached;
  try {
    return await store.get<Namespace>(resourceIds.namespaces, "", name);
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

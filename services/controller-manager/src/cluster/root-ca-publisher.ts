import { resources } from "@wherry/client";
import {
  isAlreadyExists,
  isBeingDeleted,
  keyOf,
  withAnnotations,
  type ConfigMap,
  type Namespace,
} from "@wherry/machinery";
import {
  createReconciler,
  onAnyChange,
  type Controller,
  type ControllerContext,
} from "../core/controller.ts";
import { againOnConflict } from "./conflict-retry.ts";
import { sameMap } from "./endpoint-group.ts";
import { isNamespaceTerminating } from "./namespace-terminating.ts";

export const rootCaConfigMap = "kube-root-ca.crt";
const descriptionAnnotation = "kubernetes.io/description";
const description =
  "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.";

/** Puts the API server's CA into every namespace, where pods mount it beside their token. */
export function createRootCaPublisher(
  context: ControllerContext,
  config: { readonly rootCaPem: string },
): Controller {
  const { api } = context;
  const namespaces = context.informers.informer<Namespace>(resources.namespaces);
  const configMaps = context.informers.informer<ConfigMap>(resources.configMaps, {
    fieldSelector: `metadata.name=${rootCaConfigMap}`,
  });

  const reconcile = async (namespace: string): Promise<void> => {
    const owner = namespaces.store.get(namespace);
    if (owner === undefined || isBeingDeleted(owner)) return;
    const next = planRootCa(
      namespace,
      config.rootCaPem,
      configMaps.store.get(keyOf(namespace, rootCaConfigMap)),
    );
    if (next === undefined) return;
    try {
      if (next.metadata.resourceVersion === undefined) await api.create(resources.configMaps, next);
      else await api.update(resources.configMaps, next);
    } catch (error) {
      if (!isAlreadyExists(error) && !isNamespaceTerminating(error)) throw error;
    }
  };

  const reconciler = createReconciler({
    name: "root-ca-certificate-publisher",
    context,
    reconcile: againOnConflict(reconcile),
  });
  const onNamespace = ({ metadata: { name = "" } }: Namespace): void => reconciler.enqueue(name);
  namespaces.subscribe({ onAdd: onNamespace, onUpdate: onNamespace });
  configMaps.subscribe(
    onAnyChange(({ metadata: { namespace = "" } }) => reconciler.enqueue(namespace)),
  );
  return reconciler;
}

/** The ConfigMap to write, or undefined when the present one is right. A description that a user took away comes back. */
export function planRootCa(
  namespace: string,
  rootCaPem: string,
  present: ConfigMap | undefined,
): ConfigMap | undefined {
  const data = { "ca.crt": rootCaPem };
  if (
    present !== undefined &&
    sameMap(present.data, data) &&
    present.metadata.annotations?.[descriptionAnnotation] !== undefined
  )
    return undefined;
  const metadata = present?.metadata ?? { name: rootCaConfigMap, namespace };
  return {
    ...present,
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: withAnnotations(metadata, { [descriptionAnnotation]: description }),
    data,
  };
}

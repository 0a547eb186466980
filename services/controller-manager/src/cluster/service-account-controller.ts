import { resources } from "@wherry/client";
import {
  isAlreadyExists,
  isBeingDeleted,
  keyOf,
  type Namespace,
  type ServiceAccount,
} from "@wherry/machinery";
import { createReconciler, type Controller, type ControllerContext } from "../core/controller.ts";
import { isNamespaceTerminating } from "./namespace-terminating.ts";

const accountName = "default";

/** Sees to it that every active namespace has the service account that pods run as when they name none. */
export function createServiceAccountController(context: ControllerContext): Controller {
  const namespaces = context.informers.informer<Namespace>(resources.namespaces);
  const accounts = context.informers.informer<ServiceAccount>(resources.serviceAccounts, {
    fieldSelector: `metadata.name=${accountName}`,
  });

  const reconcile = async (namespace: string): Promise<void> => {
    const owner = namespaces.store.get(namespace);
    if (
      owner === undefined ||
      isBeingDeleted(owner) ||
      accounts.store.get(keyOf(namespace, accountName)) !== undefined
    )
      return;
    try {
      await context.api.create(resources.serviceAccounts, {
        apiVersion: "v1",
        kind: "ServiceAccount",
        metadata: { name: accountName, namespace },
      });
    } catch (error) {
      if (!isAlreadyExists(error) && !isNamespaceTerminating(error)) throw error;
    }
  };

  const reconciler = createReconciler({ name: "serviceaccount", context, reconcile });
  const onNamespace = ({ metadata: { name = "" } }: Namespace): void => reconciler.enqueue(name);
  namespaces.subscribe({ onAdd: onNamespace, onUpdate: onNamespace });
  accounts.subscribe({
    onDelete: ({ metadata: { namespace = "" } }) => reconciler.enqueue(namespace),
  });
  return reconciler;
}

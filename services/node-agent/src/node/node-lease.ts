import { resources } from "@wherry/client";
import type { ApiClient } from "@wherry/client";
import { formatMicroTime, isApiError } from "@wherry/machinery";
import type { Lease, OwnerReference } from "@wherry/machinery";
import type { Clock, Logger } from "@wherry/service-kit";

export interface NodeLeaseOptions {
  readonly nodeName: string;
  readonly renewMs: number;
  readonly durationSeconds: number;
}

const namespace = "kube-node-lease";
const retryMs = 2_000;

/** Renews the node's lease until the signal aborts. The lease is owned by the Node, so that it goes with it. */
export async function runNodeLease(
  options: NodeLeaseOptions,
  deps: {
    readonly api: ApiClient;
    readonly clock: Clock;
    readonly log: Logger;
    readonly nodeUid: () => string | undefined;
  },
  signal: AbortSignal,
): Promise<void> {
  const { api, clock, log } = deps;
  let lease: Lease | undefined;

  const spec = (before: Lease | undefined): Lease["spec"] => ({
    ...before?.spec,
    holderIdentity: options.nodeName,
    leaseDurationSeconds: options.durationSeconds,
    renewTime: formatMicroTime(clock.now()),
  });

  const owners = (): readonly OwnerReference[] => {
    const uid = deps.nodeUid();
    return uid === undefined
      ? []
      : [{ apiVersion: "v1", kind: "Node", name: options.nodeName, uid }];
  };

  const renew = async (): Promise<void> => {
    if (lease === undefined) {
      try {
        lease = await api.get<Lease>(resources.leases, options.nodeName, namespace, { signal });
      } catch (error) {
        if (!isApiError(error, "NotFound")) throw error;
        lease = await api.create<Lease>(
          resources.leases,
          {
            apiVersion: "coordination.k8s.io/v1",
            kind: "Lease",
            metadata: { name: options.nodeName, namespace, ownerReferences: owners() },
            spec: spec(undefined),
          },
          { signal },
        );
        return;
      }
    }
    const ownerReferences =
      (lease.metadata.ownerReferences?.length ?? 0) > 0 ? lease.metadata.ownerReferences : owners();
    lease = await api.update<Lease>(
      resources.leases,
      {
        ...lease,
        metadata: {
          ...lease.metadata,
          ...(ownerReferences === undefined ? {} : { ownerReferences }),
        },
        spec: spec(lease),
      },
      { signal },
    );
  };

  while (!signal.aborted) {
    let delayMs = options.renewMs;
    try {
      await renew();
    } catch (error) {
      if (signal.aborted) return;
      // Whatever happened to it, the next try begins from the server's copy.
      lease = undefined;
      delayMs = retryMs;
      log.warn({ err: error }, "renewing the node's lease failed, trying again");
    }
    await clock.sleep(delayMs, signal).catch(() => {});
  }
}

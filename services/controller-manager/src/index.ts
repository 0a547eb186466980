// Placeholder of the integrator while the real one is being written; overwrite it.
import { createInformerFactory, resources, type ApiClient } from "@wherry/client";
import type { KubeObject, Node } from "@wherry/machinery";
import { createService } from "@wherry/service-kit";
import { z } from "zod";
export const controllerManagerConfig = z.object({ clusterCidr: z.string(), serviceCidr: z.string(), rootCaPem: z.string() });
export const controllerManagerFlags = [];
export const controllerManagerRunOf = (v: any): any => v;
export const runControllerManager = async (..._: any[]): Promise<void> => {};
export function createControllerManager(config: any, deps: any) {
  const api: ApiClient = deps.api;
  const inf = createInformerFactory({ client: api, clock: deps.clock, log: deps.log });
  let next = 0;
  return createService({
    name: "controller-manager",
    async start() {
      inf.informer<KubeObject>(resources.namespaces).subscribe({ onAdd: (ns) => {
        const namespace = ns.metadata.name!;
        void api.create(resources.serviceAccounts, { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "default", namespace } }).catch(() => {});
        void api.create(resources.configMaps, { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "kube-root-ca.crt", namespace }, data: { "ca.crt": config.rootCaPem } } as any).catch(() => {});
      } });
      const onNode = (n: Node) => {
        if (n.spec.podCIDR === undefined) { const c = `10.42.${next++}.0/24`; void api.patch(resources.nodes, n.metadata.name!, undefined, "merge", { spec: { podCIDR: c, podCIDRs: [c] } }).catch((e) => deps.log.error({ err: e }, "cidr")); }
        const ready = n.status?.conditions?.find((c) => c.type === "Ready")?.status === "True";
        if (ready && n.spec.taints?.some((t) => t.key === "node.kubernetes.io/not-ready")) void api.patch(resources.nodes, n.metadata.name!, undefined, "merge", { spec: { taints: null } }).catch((e) => deps.log.error({ err: e }, "taint"));
      };
      inf.informer<Node>(resources.nodes).subscribe({ onAdd: onNode, onUpdate: onNode });
      inf.start();
    },
    stop: () => inf.stop(),
  });
}

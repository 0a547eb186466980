import type { NodeDialer } from "@wherry/net";
import type { Authorizer } from "../chain.ts";
import { authorizationAttributes, forbidden } from "../auth/authorization.ts";
import { resourceIds } from "../auth/resource-ids.ts";
import type { ObjectStore } from "../object-store.ts";
import { isTrue } from "../request-info.ts";
import type { ConnectRequest, ConnectSubresource } from "../subresource-handler.ts";
import type { OpenConnections } from "./open-connections.ts";
import { kubeletBackend } from "./node-http.ts";
import { chooseContainer, kubeletPath, nodeOf, type RunningPod } from "./pod-location.ts";
import { relayUpgrade } from "./upgrade-relay.ts";

export interface PodStreamDependencies {
  readonly store: Pick<ObjectStore, "get">;
  readonly dialer: NodeDialer;
  readonly authorizer: Authorizer;
  readonly open: OpenConnections;
}

/** pods/<name>/exec, attach and portforward: the kubelet of the pod's node speaks with the caller, we only connect the two. */
export function createPodStreamHandlers(
  dependencies: PodStreamDependencies,
): readonly ConnectSubresource[] {
  return [
    handlerOf(dependencies, "exec", (pod, request) => containerPath("exec", pod, request, true)),
    handlerOf(dependencies, "attach", (pod, request) =>
      containerPath("attach", pod, request, false),
    ),
    handlerOf(dependencies, "portforward", portForwardPath),
  ];
}

function handlerOf(
  dependencies: PodStreamDependencies,
  subresource: string,
  pathOf: (pod: RunningPod, request: ConnectRequest) => string,
): ConnectSubresource {
  return {
    type: "connect",
    group: "",
    resource: "pods",
    subresource,
    methods: ["GET", "POST"],
    async connect(request) {
      await assertMayCreate(dependencies.authorizer, request);
      const pod = await dependencies.store.get<RunningPod>(
        resourceIds.pods,
        request.namespace,
        request.name,
        { signal: request.signal },
      );
      const path = pathOf(pod, request);
      const backend = kubeletBackend(dependencies.dialer, nodeOf(pod), path);
      await relayUpgrade(request.exchange, backend, dependencies.open);
    },
  };
}

/** WebSockets come as GET, which is authorised as `get`: running something in a pod needs `create` all the same. */
async function assertMayCreate(
  authorizer: Authorizer,
  { info, user }: ConnectRequest,
): Promise<void> {
  if (info.verb === "create") return;
  const attributes = { ...authorizationAttributes(user, info), verb: "create" };
  const { decision, reason } = await authorizer.authorize(attributes);
  if (decision !== "allow") throw forbidden(attributes, reason);
}

function containerPath(
  operation: "exec" | "attach",
  pod: RunningPod,
  { info, namespace, name }: ConnectRequest,
  withCommand: boolean,
): string {
  const container = chooseContainer(pod, info.query.get("container") ?? "");
  nodeOf(pod);
  const query = new URLSearchParams();
  const flags = { stdin: "input", stdout: "output", stderr: "error", tty: "tty" } as const;
  for (const [ours, kubelets] of Object.entries(flags)) {
    if (isTrue(info.query.get(ours))) query.set(kubelets, "1");
  }
  if (withCommand) for (const part of info.query.getAll("command")) query.append("command", part);
  return kubeletPath([operation, namespace, name, container], query);
}

function portForwardPath(_pod: RunningPod, { info, namespace, name }: ConnectRequest): string {
  const ports = info.query.getAll("ports").flatMap((value) => value.split(","));
  return kubeletPath(
    ["portForward", namespace, name],
    new URLSearchParams(ports.length === 0 ? {} : { port: ports.join(",") }),
  );
}

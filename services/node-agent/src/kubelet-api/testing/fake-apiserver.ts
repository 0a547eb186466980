import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Pod } from "@wherry/machinery";
import type { HttpHandler } from "@wherry/service-kit";

export interface FakeApiserver {
  readonly url: string;
  close(): Promise<void>;
}

const PATH = /^\/api\/v1\/namespaces\/([^/]+)\/pods\/([^/]+)(?:\/(log|exec|attach|portforward))?$/;
const PARAMETERS: Readonly<Record<string, string>> = {
  stdin: "input",
  stdout: "output",
  stderr: "error",
  tty: "tty",
};
const VERSION = { major: "1", minor: "36", gitVersion: "v1.36.2" };

/** As much of an API server as kubectl's streaming commands need: discovery, GET of a pod, and the kubelet's API behind the pod's subresources. */
export async function startFakeApiserver(
  kubelet: HttpHandler,
  pods: () => readonly Pod[],
): Promise<FakeApiserver> {
  const server: Server = createServer((request, response) => answer(request, response));
  server.on("upgrade", (request, socket, head) => {
    request.url = kubeletUrl(request.url ?? "", pods());
    kubelet.upgrade(request, socket, head);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async close() {
      server.close();
      server.closeAllConnections();
      await once(server, "close");
    },
  };

  function answer(request: IncomingMessage, response: ServerResponse): void {
    const { pathname } = new URL(request.url ?? "", "http://x");
    const match = PATH.exec(pathname);
    if (
      match?.[3] === "log" ||
      match?.[3] === "exec" ||
      match?.[3] === "attach" ||
      match?.[3] === "portforward"
    ) {
      request.url = kubeletUrl(request.url ?? "", pods());
      kubelet.handle(request, response);
      return;
    }
    const pod = pods().find((candidate) => candidate.metadata.name === match?.[2]);
    const body =
      pod === undefined ? discovery(pathname) : { apiVersion: "v1", kind: "Pod", ...pod };
    response.writeHead(body === undefined ? 404 : 200, { "content-type": "application/json" });
    response.end(
      JSON.stringify(
        body ?? {
          kind: "Status",
          apiVersion: "v1",
          status: "Failure",
          reason: "NotFound",
          message: `${pathname} not found`,
          code: 404,
        },
      ),
    );
  }
}

function discovery(path: string): object | undefined {
  switch (path) {
    case "/version":
      return VERSION;
    case "/api":
      return { kind: "APIVersions", versions: ["v1"], serverAddressByClientCIDRs: [] };
    case "/apis":
      return { kind: "APIGroupList", apiVersion: "v1", groups: [] };
    case "/api/v1":
      return {
        kind: "APIResourceList",
        groupVersion: "v1",
        resources: [
          {
            name: "pods",
            singularName: "pod",
            namespaced: true,
            kind: "Pod",
            verbs: ["get", "list"],
            shortNames: ["po"],
          },
          ...["pods/log", "pods/exec", "pods/attach", "pods/portforward"].map((name) => ({
            name,
            singularName: "",
            namespaced: true,
            kind: "Pod",
            verbs: ["get", "create"],
          })),
        ],
      };
    default:
      return undefined;
  }
}

/** The subresource's path and parameters in the kubelet's terms, as the real API server translates them. */
function kubeletUrl(url: string, pods: readonly Pod[]): string {
  const { pathname, searchParams } = new URL(url, "http://x");
  const [, namespace = "", name = "", subresource = ""] = PATH.exec(pathname) ?? [];
  const container =
    searchParams.get("container") ??
    pods.find((pod) => pod.metadata.name === name)?.spec.containers[0]?.name ??
    "";
  const translated = new URLSearchParams();
  for (const [key, value] of searchParams) {
    if (key === "container") continue;
    translated.append(
      PARAMETERS[key] ?? key,
      PARAMETERS[key] === undefined ? value : value === "true" ? "1" : "0",
    );
  }
  const folder =
    { log: "containerLogs", exec: "exec", attach: "attach", portforward: "portForward" }[
      subresource
    ] ?? "";
  const target =
    subresource === "portforward" ? `${namespace}/${name}` : `${namespace}/${name}/${container}`;
  return `/${folder}/${target}?${translated.toString()}`;
}

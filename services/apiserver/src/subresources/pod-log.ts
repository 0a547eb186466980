import { fieldForbidden, fieldInvalid, newInvalid, type StatusCause } from "@wherry/machinery";
import type { NodeDialer } from "@wherry/net";
import { resourceIds } from "../auth/resource-ids.ts";
import type { ObjectStore } from "../object-store.ts";
import { isTrue } from "../request-info.ts";
import type { ConnectSubresource } from "../subresource-handler.ts";
import { copyBody, dialBackend, failureOf, kubeletBackend, openRequest } from "./node-http.ts";
import type { OpenConnections } from "./open-connections.ts";
import { chooseContainer, kubeletPath, type RunningPod } from "./pod-location.ts";

/** Query parameters that the kubelet knows too, by the same names. */
const parameters = [
  "follow",
  "limitBytes",
  "previous",
  "sinceSeconds",
  "sinceTime",
  "stream",
  "tailLines",
  "timestamps",
] as const;

/** pods/<name>/log: what the kubelet of the pod's node reads, passed on as it comes. */
export function createPodLogHandler(
  store: Pick<ObjectStore, "get">,
  dialer: NodeDialer,
  open: OpenConnections,
): ConnectSubresource {
  return {
    type: "connect",
    group: "",
    resource: "pods",
    subresource: "log",
    methods: ["GET"],
    async connect({ exchange, info, namespace, name, signal }) {
      assertOptions(info.query, name);
      const pod = await store.get<RunningPod>(resourceIds.pods, namespace, name, { signal });
      const container = chooseContainer(pod, info.query.get("container") ?? "");
      const node = pod.spec?.nodeName ?? "";
      if (node === "") {
        // A pod that has no node yet has no logs either: that is no error.
        exchange.send(204, {}, []);
        return;
      }
      const query = new URLSearchParams();
      for (const key of parameters) {
        const value = info.query.get(key);
        if (value !== null && value !== "") query.set(key, value);
      }
      const backend = kubeletBackend(
        dialer,
        node,
        kubeletPath(["containerLogs", namespace, name, container], query),
      );
      const connection = await dialBackend(backend, signal);
      if (isTrue(info.query.get("follow"))) open.add(connection);
      const { request, response } = openRequest(
        connection,
        "GET",
        backend.path,
        ["Host", backend.host, "Connection", "close"],
        signal,
      );
      request.end();
      const answer = await response;
      const status = answer.statusCode ?? 500;
      if (status < 200 || status > 206) {
        const failure = await failureOf(answer);
        connection.destroy();
        throw failure;
      }
      await copyBody(answer, exchange.startStream(200, { "content-type": "text/plain" }));
    },
  };
}

function assertOptions(query: URLSearchParams, name: string): void {
  const causes: StatusCause[] = [];
  const check = (key: string, least: number, detail: string): void => {
    const text = query.get(key);
    if (text === null || text === "") return;
    const value = Number(text);
    if (!Number.isInteger(value) || value < least)
      causes.push(fieldInvalid(key, Number.isInteger(value) ? value : text, detail));
  };
  check("tailLines", 0, "must be greater than or equal to 0");
  check("limitBytes", 1, "must be greater than 0");
  if (query.get("sinceSeconds") && query.get("sinceTime"))
    causes.push(
      fieldForbidden("", "at most one of `sinceTime` or `sinceSeconds` may be specified"),
    );
  else check("sinceSeconds", 1, "must be greater than 0");
  if (causes.length > 0) throw newInvalid({ group: "", kind: "PodLogOptions" }, name, causes);
}

import { resources, type ApiClient } from "@wherry/client";
import { isConflict, isNotFound, type Node } from "@wherry/machinery";
import { createService, type Logger, type Service } from "@wherry/service-kit";

/** K3s' labels of a node that runs on a server. Kubelets may not give themselves such labels, so the supervisor does. */
const SERVER_LABELS = { "node-role.kubernetes.io/control-plane": "true" } as const;

/** Labels the server's own node once it has registered, then ends its watch. */
export function createServerNodeLabels(options: {
  readonly nodeName: string;
  readonly api: ApiClient;
  readonly log: Logger;
}): Service {
  const { nodeName, api, log } = options;
  const stop = new AbortController();
  let running: Promise<void> | undefined;

  const label = async (): Promise<void> => {
    try {
      const watch = api.watch<Node>(resources.nodes, {
        fieldSelector: `metadata.name=${nodeName}`,
        sendInitialEvents: true,
        allowWatchBookmarks: true,
        signal: stop.signal,
      });
      for await (const event of watch) {
        if (event.type === "BOOKMARK" || event.type === "DELETED") continue;
        const labels = event.object.metadata.labels ?? {};
        if (Object.entries(SERVER_LABELS).every(([key, value]) => labels[key] === value)) return;
        await api.patch(resources.nodes, nodeName, undefined, "merge", {
          metadata: { labels: SERVER_LABELS },
        });
      }
    } catch (error) {
      if (!stop.signal.aborted && !isNotFound(error) && !isConflict(error))
        log.warn({ node: nodeName, err: error }, "the server's node could not be labelled");
    }
  };

  return createService({
    name: "server-node-labels",
    async start() {
      running = label();
    },
    async stop() {
      stop.abort();
      await running;
    },
  });
}

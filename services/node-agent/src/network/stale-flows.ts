import { NetworkError, type CommandRunner, type Element, type ElementChanges } from "@wherry/net";
import type { Logger } from "@wherry/service-kit";

/**
 * UDP has no end of connection: the kernel keeps sending a client's datagrams to the endpoint that it chose once, also when the endpoint
 * is gone. The flows of removed endpoints, and those that went unrouted before a service had one, are therefore deleted.
 */
export interface StaleFlow {
  /** The address that clients use; absent for node ports and host ports, which are any address of the node. */
  readonly address?: string;
  readonly port: string;
  /** The endpoint that is gone; absent = every flow to the address and port. */
  readonly endpoint?: string;
}

/** More deletions than this in one go become one deletion of all UDP flows, which are then chosen anew. */
const DELETIONS_MAX = 256;

/** What a change of elements leaves behind. */
export function staleFlows(changes: ElementChanges): StaleFlow[] {
  const lost = new Map<string, { frontend: StaleFlow; endpoints: Map<string, string> }>();
  for (const element of changes.removed) {
    const flow = udpFlow(element);
    if (flow === undefined) continue;
    const id = `${flow.address ?? ""} ${flow.port}`;
    const entry = lost.get(id) ?? {
      frontend: frontendOf(flow),
      endpoints: new Map<string, string>(),
    };
    entry.endpoints.set(element.value ?? "", flow.endpoint);
    lost.set(id, entry);
  }
  for (const element of changes.added) {
    const flow = udpFlow(element);
    if (flow !== undefined)
      lost.get(`${flow.address ?? ""} ${flow.port}`)?.endpoints.delete(element.value ?? "");
  }
  const flows = [...lost.values()].flatMap(({ frontend, endpoints }) =>
    [...endpoints.values()].map((endpoint): StaleFlow => ({ ...frontend, endpoint })),
  );
  const routedBefore = new Set(
    changes.removed
      .filter((element) => VERDICTS.has(element.set))
      .map((element) => `${element.set} ${element.key}`),
  );
  for (const element of changes.added) {
    if (!VERDICTS.has(element.set) || routedBefore.has(`${element.set} ${element.key}`)) continue;
    const parts = element.key.split(" . ");
    if (parts.at(-2) !== "udp") continue;
    flows.push({
      ...(parts.length === 3 ? { address: parts[0] ?? "" } : {}),
      port: parts.at(-1) ?? "",
    });
  }
  return flows;
}

/** The flows in conntrack's listing that lead from a known frontend to something that is not one of its endpoints. */
export function staleFlowsInListing(listing: string, elements: Iterable<Element>): StaleFlow[] {
  const endpoints = new Map<string, Set<string>>();
  for (const element of elements) {
    const flow = udpFlow(element);
    if (flow?.address === undefined) continue;
    const id = `${flow.address} ${flow.port}`;
    const known = endpoints.get(id) ?? new Set<string>();
    known.add(flow.endpoint);
    endpoints.set(id, known);
  }
  const stale = new Map<string, StaleFlow>();
  for (const match of listing.matchAll(
    /^udp\s.*?\bdst=(\S+) sport=\d+ dport=(\d+)\s.*?\bsrc=(\S+) dst=/gm,
  )) {
    const [, address = "", port = "", endpoint = ""] = match;
    const known = endpoints.get(`${address} ${port}`);
    if (known !== undefined && !known.has(endpoint))
      stale.set(`${address} ${port} ${endpoint}`, { address, port, endpoint });
  }
  return [...stale.values()];
}

export interface FlowCleaner {
  delete(flows: readonly StaleFlow[]): Promise<void>;
  /** Looks at all flows; for the first load, when nobody knows what changed meanwhile. */
  reconcile(elements: () => Iterable<Element>): Promise<void>;
}

/** Without the `conntrack` program nothing is deleted; that is said once. */
export function createFlowCleaner(run: CommandRunner, log: Logger): FlowCleaner {
  let missing = false;
  const attempt = async (args: readonly string[]): Promise<string> => {
    if (missing) return "";
    try {
      // Exit code 1 says that no flow matched.
      return (await run.run(["conntrack", ...args])).stdout;
    } catch (error) {
      if (!(error instanceof NetworkError)) throw error;
      missing = error.code === "command-not-found";
      log.warn({ err: error }, "UDP flows of removed endpoints are not deleted");
      return "";
    }
  };
  const remove = async (flows: readonly StaleFlow[]): Promise<void> => {
    if (flows.length > DELETIONS_MAX) {
      await attempt(["-D", "-p", "udp"]);
      return;
    }
    for (const flow of flows) {
      const address = flow.address === undefined ? [] : ["--orig-dst", flow.address];
      const endpoint = flow.endpoint === undefined ? [] : ["--reply-src", flow.endpoint];
      await attempt(["-D", "-p", "udp", ...address, "--orig-port-dst", flow.port, ...endpoint]);
    }
  };
  return {
    delete: remove,
    async reconcile(elements) {
      const listing = await attempt(["-L", "-p", "udp"]);
      if (listing !== "") await remove(staleFlowsInListing(listing, elements()));
    },
  };
}

const VERDICTS = new Set(["services", "node-ports", "host-ports"]);
const TARGETS: Readonly<Record<string, "address" | "port">> = {
  "endpoints-udp": "address",
  numbered: "address",
  "host-port-address": "address",
  "port-endpoints-udp": "port",
  "port-numbered": "port",
  "host-port-any": "port",
};

/** The frontend and endpoint of an element that leads to one, if it is UDP's. */
function udpFlow(
  element: Element,
): { readonly address?: string; readonly port: string; readonly endpoint: string } | undefined {
  const keyedBy = TARGETS[element.set];
  if (keyedBy === undefined) return undefined;
  const parts = element.key.split(" . ");
  const [protocol, port] = keyedBy === "address" ? parts.slice(1) : parts;
  const endpoint = element.value?.split(" . ")[0];
  if (protocol !== "udp" || port === undefined || endpoint === undefined) return undefined;
  return keyedBy === "address" ? { address: parts[0] ?? "", port, endpoint } : { port, endpoint };
}

function frontendOf(flow: { readonly address?: string; readonly port: string }): StaleFlow {
  return flow.address === undefined
    ? { port: flow.port }
    : { address: flow.address, port: flow.port };
}

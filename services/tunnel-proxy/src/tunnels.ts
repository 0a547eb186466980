import type { Duplex } from "node:stream";
import {
  createTunnelSession,
  KUBELET_PORT,
  NodeUnreachableError,
  startKubeletTls,
  type EgressTls,
  type NodeDialer,
  type TunnelSession,
} from "@wherry/net";
import type { Clock, Logger, MetricsRegistry } from "@wherry/service-kit";
import type { WebSocket } from "ws";

/** The nodes that can be reached: by a tunnel that they opened, or inside this process. */
export interface Tunnels {
  readonly dialer: NodeDialer;
  /** A websocket that a node opened. Several per node are allowed; the first live one is used. */
  add(node: string, socket: WebSocket): void;
  /** A node in this process: `accept` takes a stream that speaks HTTP/1.1 in clear. Returns the removal. */
  addLocal(node: string, accept: (stream: Duplex) => void): () => void;
  /** A raw stream to the kubelet port of a node, TLS left to the caller (CONNECT). */
  openKubeletPort(node: string): Duplex;
  openFromNode(node: string, host: string, port: number): Duplex;
  has(node: string): boolean;
  closeAll(): void;
}

export interface TunnelsOptions {
  readonly kubeletTls: EgressTls;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: MetricsRegistry;
  /** Makes the two ends of an in-process connection. */
  readonly createPair: () => readonly [Duplex, Duplex];
  readonly dialTcp: (host: string, port: number, signal?: AbortSignal) => Promise<Duplex>;
}

export function createTunnels(options: TunnelsOptions): Tunnels {
  const sessions = new Map<string, Set<TunnelSession>>();
  const local = new Map<string, (stream: Duplex) => void>();
  const count = options.metrics.gauge({
    name: "wherry_tunnel_sessions",
    help: "Tunnel sessions that nodes have opened.",
  });

  const sessionOf = (node: string): TunnelSession => {
    const [session] = sessions.get(node) ?? [];
    // remotedialer's text; operators know it.
    if (session === undefined)
      throw new NodeUnreachableError(node, `failed to find Session for client ${node}`);
    return session;
  };

  const tunnels: Tunnels = {
    dialer: {
      async dialKubelet(node) {
        const accept = local.get(node);
        if (accept === undefined)
          return await startKubeletTls(tunnels.openKubeletPort(node), node, options.kubeletTls);
        const [near, far] = options.createPair();
        accept(far);
        return near;
      },
      async dialFromNode(node, host, port, signal) {
        return local.has(node) || !sessions.has(node)
          ? await options.dialTcp(host, port, signal)
          : tunnels.openFromNode(node, host, port);
      },
    },
    add(node, socket) {
      const session = createTunnelSession(socket, {
        role: "server",
        clock: options.clock,
        log: options.log,
      });
      const all = sessions.get(node) ?? new Set();
      sessions.set(node, all.add(session));
      count.add(1);
      options.log.info({ node }, "Handling backend connection request");
      void session.done.then(() => {
        count.add(-1);
        all.delete(session);
        if (all.size === 0 && sessions.get(node) === all) sessions.delete(node);
        options.log.info({ node }, "tunnel closed");
      });
    },
    addLocal(node, accept) {
      local.set(node, accept);
      return () => {
        if (local.get(node) === accept) local.delete(node);
      };
    },
    openKubeletPort: (node) => sessionOf(node).open("tcp", `127.0.0.1:${KUBELET_PORT}`),
    openFromNode: (node, host, port) =>
      sessionOf(node).open("tcp", `${host.includes(":") ? `[${host}]` : host}:${port}`),
    has: (node) => sessions.has(node) || local.has(node),
    closeAll() {
      for (const all of sessions.values()) for (const session of all) session.close();
    },
  };
  return tunnels;
}

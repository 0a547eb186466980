import type { Duplex } from "node:stream";

/**
 * How the control plane reaches a node. There are two implementations: the tunnel (frames over the websocket that the node
 * opened, or HTTP CONNECT to the process that holds it), and a direct hand-over inside one process.
 */
export interface NodeDialer {
  /**
   * Opens a connection to the kubelet API of `node`. What comes back is ready for HTTP/1.1 in clear: an implementation that
   * crosses a process boundary has put TLS (with the API server's client certificate) underneath already.
   * Rejects with `NodeUnreachableError` when the node has no live tunnel or refuses.
   */
  dialKubelet(node: string, signal?: AbortSignal): Promise<Duplex>;
  /** Opens a plain TCP connection to `host:port` as seen from `node` (pod and service proxy, webhooks). */
  dialFromNode(node: string, host: string, port: number, signal?: AbortSignal): Promise<Duplex>;
}

export class NodeUnreachableError extends Error {
  readonly node: string;

  constructor(node: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "NodeUnreachableError";
    this.node = node;
  }
}

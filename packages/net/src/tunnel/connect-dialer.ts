import type { Duplex } from "node:stream";
import { connect as tlsConnect, type TLSSocket } from "node:tls";
import { NodeUnreachableError, type NodeDialer } from "../dialer.ts";

/** Certificates of the API server as a client: towards the tunnel's holder and towards kubelets. */
export interface EgressTls {
  readonly caPem: string;
  readonly certPem: string;
  readonly keyPem: string;
}

export const KUBELET_PORT = 10250;
const CONNECT_TIMEOUT_MS = 30_000;
const ANSWER_MAX_BYTES = 16 * 1024;

/** Reaches nodes by HTTP CONNECT to the process that holds the tunnels (K3s' egress selector, KEP-1281's http-connect). */
export function createConnectDialer(options: {
  readonly proxyUrl: string;
  readonly tls: EgressTls;
}): NodeDialer {
  const url = new URL(options.proxyUrl);
  const dial = async (
    node: string,
    host: string,
    port: number,
    signal?: AbortSignal,
  ): Promise<Duplex> => {
    try {
      return await openConnect(url, options.tls, `${host}:${port}`, signal);
    } catch (error) {
      throw new NodeUnreachableError(
        node,
        `dialing ${host}:${port} through ${url.host}: ${(error as Error).message}`,
        { cause: error },
      );
    }
  };
  return {
    async dialKubelet(node, signal) {
      const raw = await dial(node, node, KUBELET_PORT, signal);
      return await startKubeletTls(raw, node, options.tls);
    },
    dialFromNode: (node, host, port, signal) => dial(node, host, port, signal),
  };
}

/** TLS over an open stream to the kubelet of `node`, as the API server. */
export function startKubeletTls(stream: Duplex, node: string, tls: EgressTls): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const secure = tlsConnect({
      socket: stream,
      servername: node,
      ca: tls.caPem,
      cert: tls.certPem,
      key: tls.keyPem,
    });
    const fail = (error: Error): void => {
      stream.destroy();
      reject(
        new NodeUnreachableError(node, `TLS with the kubelet of ${node} failed: ${error.message}`, {
          cause: error,
        }),
      );
    };
    secure.once("error", fail);
    stream.once("close", () => fail(new Error("the connection closed")));
    secure.once("secureConnect", () => {
      secure.off("error", fail);
      resolve(secure);
    });
  });
}

function openConnect(
  url: URL,
  tls: EgressTls,
  target: string,
  signal?: AbortSignal,
): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const socket = tlsConnect({
      host: url.hostname,
      port: Number(url.port === "" ? 443 : url.port),
      ca: tls.caPem,
      cert: tls.certPem,
      key: tls.keyPem,
      ALPNProtocols: ["http/1.1"],
    });
    let answer = Buffer.alloc(0);
    const settle = (error?: Error): void => {
      socket.setTimeout(0);
      socket.off("data", onData);
      socket.off("error", settle);
      signal?.removeEventListener("abort", onAbort);
      if (error === undefined) resolve(socket);
      else {
        socket.destroy();
        reject(error);
      }
    };
    const onAbort = (): void => settle(new Error("aborted"));
    const onData = (chunk: Buffer): void => {
      answer = Buffer.concat([answer, chunk]);
      const end = answer.indexOf("\r\n\r\n");
      if (end < 0) {
        if (answer.length > ANSWER_MAX_BYTES) settle(new Error("the proxy's answer is too long"));
        return;
      }
      const [statusLine = ""] = answer.toString("latin1", 0, end).split("\r\n");
      const status = Number(statusLine.split(" ")[1]);
      if (status !== 200) {
        settle(
          new Error(`the proxy answered ${statusLine}: ${answer.toString("utf8", end + 4).trim()}`),
        );
        return;
      }
      socket.pause();
      const rest = answer.subarray(end + 4);
      if (rest.length > 0) socket.unshift(rest);
      settle();
    };
    signal?.addEventListener("abort", onAbort, { once: true });
    socket.on("error", settle);
    socket.on("data", onData);
    socket.setTimeout(CONNECT_TIMEOUT_MS, () => settle(new Error("timed out")));
    socket.once("secureConnect", () => {
      socket.write(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n\r\n`);
    });
  });
}

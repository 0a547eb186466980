import { connect as connectHttp2, type ClientHttp2Session } from "node:http2";
import { connect } from "node:net";

export interface SocketWatch {
  /** Settles when the server behind the socket hangs up, and never because of `close`. */
  readonly lost: Promise<void>;
  close(): void;
}

/**
 * Holds a connection to a gRPC server that is not our child, so that its end is noticed at once and without asking. A bare connection would be
 * dropped by the server after a while, an HTTP/2 session without streams is not.
 */
export function watchSocket(socket: string): SocketWatch {
  const lost = Promise.withResolvers<void>();
  let closed = false;
  const session: ClientHttp2Session = connectHttp2("http://localhost", {
    createConnection: () => connect(socket),
  });
  session.unref();
  session.on("error", () => {});
  session.on("close", () => {
    if (!closed) lost.resolve();
  });
  return {
    lost: lost.promise,
    close() {
      closed = true;
      session.destroy();
    },
  };
}

import type { Duplex } from "node:stream";

/** Connections that last until somebody hangs up (exec, port-forward, followed logs): they would keep a server from ever stopping. */
export interface OpenConnections {
  /** Remembers a connection until it is closed; one that comes after the shutdown is closed at once. */
  add(connection: Duplex): void;
  readonly size: number;
}

/** All connections are broken off when `shutdown` is aborted; their callers see the end of the stream and connect anew. */
export function createOpenConnections(shutdown?: AbortSignal): OpenConnections {
  const open = new Set<Duplex>();
  shutdown?.addEventListener(
    "abort",
    () => {
      for (const connection of open) connection.destroy();
    },
    { once: true },
  );
  return {
    add(connection) {
      if (shutdown?.aborted === true) {
        connection.destroy();
        return;
      }
      open.add(connection);
      connection.once("close", () => open.delete(connection));
    },
    get size() {
      return open.size;
    },
  };
}

import { createServer, type Server, type Socket } from "node:net";
import { chmodSync, mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { once } from "node:events";
import {
  createLineReader,
  FEED_PROTOCOL,
  type DnsListen,
  type FeedMessage,
  type FeedReply,
} from "./feed.ts";
import { createForwarder } from "./forwarder.ts";
import { openDnsServer, type DnsServer } from "./dns-server.ts";
import { readStartTime } from "./process-identity.ts";
import { createResponder } from "./responder.ts";
import { createSourceFilter } from "./source-filter.ts";
import { createZone, type Zone } from "./zone.ts";

export interface DnsProgramOptions {
  /** The unix socket on which the agent feeds it. */
  readonly socket: string;
  /** Gets this process' id and start time, so that an agent can adopt or end it. */
  readonly stateFile: string;
  /** Tells one build of the program from another. */
  readonly program: string;
  readonly pid: number;
  readonly onShutdown: () => void;
}

export interface DnsProgram {
  close(): Promise<void>;
}

/**
 * The DNS process: answers nothing until the first snapshot is complete, then always, with or without an agent.
 * Its few files are handled synchronously, before and after it has anything else to do: that saves the memory of the other file interface.
 */
export async function startDnsProgram(options: DnsProgramOptions): Promise<DnsProgram> {
  const now = (): number => performance.now();
  const forwarder = createForwarder({ now });
  const sources = createSourceFilter(now);
  let zone: Zone | undefined;
  let server: DnsServer | undefined;
  let listening: DnsListen | undefined;
  const responder = createResponder(() => zone ?? emptyZone, forwarder);
  let feeder: Socket | undefined;

  const listen = async (wanted: DnsListen): Promise<number> => {
    if (
      server !== undefined &&
      listening?.address === wanted.address &&
      listening.port === wanted.port
    )
      return server.port;
    server?.close();
    server = undefined;
    server = await openDnsServer({
      ...wanted,
      responder,
      allows: (address) => sources.allows(address),
    });
    listening = wanted;
    return server.port;
  };

  const feed = (socket: Socket): void => {
    feeder?.destroy();
    feeder = socket;
    let staged: { readonly zone: Zone; readonly listen: DnsListen } | undefined;
    let order: Promise<void> = Promise.resolve();
    const reply = (message: FeedReply): void =>
      void (socket.writable && socket.write(`${JSON.stringify(message)}\n`));
    const handle = async (message: FeedMessage): Promise<void> => {
      switch (message.type) {
        case "reset":
          staged = { zone: createZone(message.settings), listen: message.listen };
          break;
        case "put":
          applyPut(staged?.zone ?? zone, message);
          break;
        case "upstreams":
          forwarder.setUpstreams(message.upstreams);
          break;
        case "sources":
          sources.setBlocks(message.blocks);
          break;
        case "commit":
          if (staged === undefined) break;
          zone = staged.zone;
          try {
            reply({
              type: "committed",
              services: zone.services,
              port: await listen(staged.listen),
            });
          } catch (error) {
            reply({
              type: "failed",
              message: error instanceof Error ? error.message : String(error),
            });
          }
          staged = undefined;
          break;
        case "shutdown":
          options.onShutdown();
          break;
      }
    };
    const read = createLineReader((message) => {
      order = order.then(() => handle(message as FeedMessage));
      order.catch(() => socket.destroy());
    });
    socket.on("error", () => {});
    socket.on("data", (chunk: Buffer) => {
      try {
        read(chunk);
      } catch {
        // What is not the feed's format ends the connection; an agent that means it connects again.
        socket.destroy();
      }
    });
    reply({ type: "hello", protocol: FEED_PROTOCOL, program: options.program, pid: options.pid });
  };

  mkdirSync(dirname(options.socket), { recursive: true, mode: 0o700 });
  rmSync(options.socket, { force: true });
  const control: Server = createServer(feed);
  control.listen(options.socket);
  await once(control, "listening");
  chmodSync(options.socket, 0o600);
  const state = { pid: options.pid, startTime: readStartTime(options.pid) };
  writeFileSync(`${options.stateFile}.new`, `${JSON.stringify(state)}\n`, { mode: 0o600 });
  renameSync(`${options.stateFile}.new`, options.stateFile);
  return {
    async close() {
      server?.close();
      feeder?.destroy();
      await new Promise<void>((resolve) => control.close(() => resolve()));
      rmSync(options.socket, { force: true });
      rmSync(options.stateFile, { force: true });
    },
  };
}

const emptyZone: Zone = createZone({
  domain: "cluster.local",
  address: "10.43.0.10",
  clusterCidrs: [],
});

function applyPut(zone: Zone | undefined, message: Extract<FeedMessage, { type: "put" }>): void {
  if (zone === undefined) return;
  for (const key of message.removedServices ?? []) zone.remove(key);
  for (const service of message.services ?? []) zone.put(service);
  zone.setNamespaces(message.namespaces ?? [], message.removedNamespaces ?? []);
  for (const name of message.removedHosts ?? []) zone.removeHost(name);
  for (const host of message.hosts ?? []) zone.putHost(host);
}

import type { Upstream } from "./forwarder.ts";
import type { ZoneHost, ZoneService, ZoneSettings } from "./zone-entry.ts";

/**
 * What agent and DNS process say to each other over the unix socket: one JSON object per line. The agent that connected last is the one
 * that is listened to.
 *
 *   process: hello
 *   agent:   reset, put …, commit        a snapshot; it takes effect at commit, and queries are answered from then on
 *   process: committed | failed
 *   agent:   put …, upstreams, sources   deltas, each in effect at once
 *   agent:   shutdown                    the process ends
 */

/** Changes with the meaning of messages; an agent replaces a process of another number. */
export const FEED_PROTOCOL = 1;
/** A longer line ends the connection. */
export const FEED_LINE_MAX_BYTES = 4 << 20;

export interface DnsListen {
  readonly address: string;
  readonly port: number;
}

export type FeedMessage =
  | { readonly type: "reset"; readonly settings: ZoneSettings; readonly listen: DnsListen }
  | {
      readonly type: "put";
      readonly services?: readonly ZoneService[];
      readonly removedServices?: readonly string[];
      readonly namespaces?: readonly string[];
      readonly removedNamespaces?: readonly string[];
      readonly hosts?: readonly ZoneHost[];
      readonly removedHosts?: readonly string[];
    }
  | { readonly type: "upstreams"; readonly upstreams: readonly Upstream[] }
  | { readonly type: "sources"; readonly blocks: readonly string[] }
  | { readonly type: "commit" }
  | { readonly type: "shutdown" };

export type FeedReply =
  | {
      readonly type: "hello";
      readonly protocol: number;
      readonly program: string;
      readonly pid: number;
    }
  | { readonly type: "committed"; readonly services: number; readonly port: number }
  | { readonly type: "failed"; readonly message: string };

/** Cuts a stream into lines and parses them. Throws on a line that is too long or no JSON. */
export function createLineReader(onMessage: (message: unknown) => void): (chunk: Buffer) => void {
  let parts: Buffer[] = [];
  let length = 0;
  return (chunk) => {
    let start = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
      parts.push(chunk.subarray(start, end));
      const line = parts.length === 1 ? parts[0] : Buffer.concat(parts);
      parts = [];
      length = 0;
      start = end + 1;
      onMessage(JSON.parse((line ?? Buffer.alloc(0)).toString()));
    }
    if (start < chunk.length) {
      parts.push(chunk.subarray(start));
      length += chunk.length - start;
      if (length > FEED_LINE_MAX_BYTES)
        throw new Error(`a line is longer than ${FEED_LINE_MAX_BYTES} bytes`);
    }
  };
}

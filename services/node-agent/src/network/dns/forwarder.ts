import { createSocket } from "node:dgram";
import { connect } from "node:net";
import { isIpv6 } from "./address-text.ts";
import { createAnswerCache } from "./answer-cache.ts";
import { readMessage, type DnsQuery } from "./dns-message.ts";
import { foldName } from "./dns-name.ts";

export interface Upstream {
  readonly address: string;
  readonly port: number;
}

export interface ForwarderOptions {
  /** Milliseconds that never go back. */
  readonly now: () => number;
  /** For one try at one server; default 1,500. */
  readonly tryMs?: number;
  /** Queries under way at once; one more is not sent. Default 512. */
  readonly inFlightMax?: number;
}

export type ForwardResult =
  | { readonly kind: "answer"; readonly bytes: Uint8Array }
  | { readonly kind: "no-upstream" }
  | { readonly kind: "failed" };

/** Asks the host's name servers. */
export interface Forwarder {
  setUpstreams(upstreams: readonly Upstream[]): void;
  /** `bytes` is the query as it came; the answer carries its id. Never rejects. */
  forward(query: DnsQuery, bytes: Uint8Array, transport: "udp" | "tcp"): Promise<ForwardResult>;
}

/** Tries in all, over the servers in turn: together shorter than a resolver's usual 5 s. */
const TRIES = 3;

/**
 * A query goes out from a random port with a random id and is taken only from the server that was asked, for the question that was asked.
 * Equal questions that are under way together are asked once.
 */
export function createForwarder(options: ForwarderOptions): Forwarder {
  const { now, tryMs = 1_500, inFlightMax = 512 } = options;
  const cache = createAnswerCache(now);
  const underWay = new Map<string, Promise<Uint8Array | undefined>>();
  let upstreams: readonly Upstream[] = [];
  /** The server that answered last is asked first. */
  let preferred = 0;

  const ask = async (
    query: DnsQuery,
    bytes: Uint8Array,
    transport: "udp" | "tcp",
  ): Promise<Uint8Array | undefined> => {
    const { randomInt } = await import("node:crypto");
    const servers = upstreams;
    const first = preferred % servers.length;
    for (let attempt = 0; attempt < TRIES; attempt += 1) {
      const index = (first + attempt) % servers.length;
      const server = servers[index];
      if (server === undefined) return undefined;
      const outgoing = Buffer.from(bytes);
      const id = randomInt(0x10000);
      outgoing.writeUInt16BE(id, 0);
      const answer = await (transport === "udp" ? askUdp : askTcp)(
        server,
        outgoing,
        tryMs,
        (candidate) => answersQuestion(candidate, id, query),
      );
      if (answer === undefined) continue;
      preferred = index;
      return answer;
    }
    return undefined;
  };

  return {
    setUpstreams(next) {
      upstreams = next;
      preferred = 0;
    },
    async forward(query, bytes, transport) {
      if (upstreams.length === 0) return { kind: "no-upstream" };
      const { name, type, class: questionClass } = query.question;
      const key = [
        foldName(name),
        type,
        questionClass,
        transport,
        query.recursionDesired,
        query.checkingDisabled,
        query.edns?.dnssecOk ?? "",
        query.edns?.udpBytes ?? "",
      ].join(" ");
      let answer = cache.get(key);
      if (answer === undefined) {
        let asked = underWay.get(key);
        if (asked === undefined) {
          if (underWay.size >= inFlightMax) return { kind: "failed" };
          asked = ask(query, bytes, transport).finally(() => underWay.delete(key));
          underWay.set(key, asked);
        }
        const fresh = await asked;
        if (fresh === undefined) return { kind: "failed" };
        cache.put(key, fresh);
        answer = Buffer.from(fresh);
      }
      // The asker's own id and letter case.
      answer.set(bytes.subarray(0, 2), 0);
      if (answer.length >= query.questionEnd) answer.set(bytes.subarray(12, query.questionEnd), 12);
      return { kind: "answer", bytes: answer };
    },
  };
}

function answersQuestion(bytes: Uint8Array, id: number, query: DnsQuery): boolean {
  try {
    const message = readMessage(bytes);
    const question = message.question;
    return (
      message.response &&
      message.id === id &&
      question !== undefined &&
      question.type === query.question.type &&
      question.class === query.question.class &&
      foldName(question.name) === foldName(query.question.name) &&
      message.questionEnd === query.questionEnd
    );
  } catch {
    // Not a DNS message: not an answer.
    return false;
  }
}

function askUdp(
  server: Upstream,
  query: Buffer,
  timeoutMs: number,
  accepts: (bytes: Uint8Array) => boolean,
): Promise<Uint8Array | undefined> {
  const { promise, resolve } = Promise.withResolvers<Uint8Array | undefined>();
  const socket = createSocket(isIpv6(server.address) ? "udp6" : "udp4");
  let settled = false;
  const finish = (answer: Uint8Array | undefined): void => {
    if (settled) return;
    settled = true;
    clearTimeout(timer);
    socket.close();
    resolve(answer);
  };
  const timer = setTimeout(() => finish(undefined), timeoutMs);
  socket.on("error", () => finish(undefined));
  // A wrong answer is passed over, not believed: the right one may still come.
  socket.on("message", (message) => accepts(message) && finish(message));
  socket.connect(server.port, server.address, () => {
    if (!settled) socket.send(query);
  });
  return promise;
}

function askTcp(
  server: Upstream,
  query: Buffer,
  timeoutMs: number,
  accepts: (bytes: Uint8Array) => boolean,
): Promise<Uint8Array | undefined> {
  const { promise, resolve } = Promise.withResolvers<Uint8Array | undefined>();
  const socket = connect({ host: server.address, port: server.port });
  const chunks: Buffer[] = [];
  let length = 0;
  const finish = (answer: Uint8Array | undefined): void => {
    clearTimeout(timer);
    socket.destroy();
    resolve(answer);
  };
  const timer = setTimeout(() => finish(undefined), timeoutMs);
  socket.on("error", () => finish(undefined));
  socket.on("close", () => finish(undefined));
  socket.on("data", (chunk: Buffer) => {
    chunks.push(chunk);
    length += chunk.length;
    if (length < 2) return;
    const bytes = Buffer.concat(chunks);
    const wanted = bytes.readUInt16BE(0);
    if (length < wanted + 2) return;
    const answer = bytes.subarray(2, wanted + 2);
    finish(accepts(answer) ? answer : undefined);
  });
  const frame = Buffer.alloc(query.length + 2);
  frame.writeUInt16BE(query.length, 0);
  query.copy(frame, 2);
  socket.write(frame);
  return promise;
}

import { addressOfBytes } from "./address-text.ts";
import {
  encodeAnswer,
  encodeQuery,
  encodeRefusal,
  readMessage,
  readQuery,
  recordClass,
  recordType,
  responseCode,
  udpAnswerMaxBytes,
  type DnsAnswer,
  type DnsQuery,
  type DnsRecord,
  type ResponseCode,
} from "./dns-message.ts";
import { foldName, readName } from "./dns-name.ts";
import type { Forwarder } from "./forwarder.ts";
import type { Zone } from "./zone.ts";

/** Aliases that are followed one after another. */
const ALIASES_MAX = 8;
const TCP_MAX_BYTES = 65_535;

export type Transport = "udp" | "tcp";

/** Turns the bytes of a query into those of its answer; undefined = say nothing. Cluster names are answered at once, others through the forwarder. */
export interface Responder {
  respond(
    bytes: Uint8Array,
    transport: Transport,
  ): Uint8Array | undefined | Promise<Uint8Array | undefined>;
}

/** `zone` is asked for at each query, because a new snapshot is a new zone. */
export function createResponder(zone: () => Zone, forwarder: Forwarder): Responder {
  const failure = (code: ResponseCode): DnsAnswer => ({
    code,
    authoritative: false,
    answers: [],
    authorities: [],
    additionals: [],
  });

  const answerAlias = async (
    query: DnsQuery,
    alias: DnsRecord,
    target: string,
  ): Promise<DnsAnswer> => {
    const answers: DnsRecord[] = [alias];
    let next: string | undefined = target;
    for (let depth = 0; depth < ALIASES_MAX && next !== undefined; depth += 1) {
      const question = { name: next, type: query.question.type, class: recordClass.IN };
      const result = zone().resolve(question);
      if (result.kind === "answer") {
        answers.push(...result.answer.answers);
        return {
          code: result.answer.code,
          authoritative: true,
          answers,
          authorities: result.answer.authorities,
          additionals: [],
        };
      }
      if (result.kind === "alias") {
        answers.push(result.alias);
        next = result.target;
        continue;
      }
      const bytes = encodeQuery(0, question);
      const reading = readQuery(bytes);
      const forwarded =
        reading.kind === "query" ? await forwarder.forward(reading.query, bytes, "udp") : undefined;
      // Who asks for an alias gets the alias, even when what it stands for cannot be found out now.
      if (forwarded?.kind === "answer") answers.push(...readRecords(forwarded.bytes));
      next = undefined;
    }
    return {
      code: responseCode.noError,
      authoritative: true,
      answers,
      authorities: [],
      additionals: [],
    };
  };

  const forward = async (
    query: DnsQuery,
    bytes: Uint8Array,
    transport: Transport,
    maxBytes: number,
  ): Promise<Uint8Array> => {
    const result = await forwarder.forward(query, bytes, transport);
    if (result.kind === "no-upstream")
      return encodeAnswer(query, failure(responseCode.refused), maxBytes);
    if (result.kind === "failed")
      return encodeAnswer(query, failure(responseCode.serverFailure), maxBytes);
    if (result.bytes.length <= maxBytes) return result.bytes;
    const cut = Buffer.from(encodeAnswer(query, failure(responseCode.noError), maxBytes));
    cut[2] = (cut[2] ?? 0) | 2;
    return cut;
  };

  return {
    respond(bytes, transport) {
      const reading = readQuery(bytes);
      if (reading.kind === "ignore") return undefined;
      if (reading.kind === "refuse") return encodeRefusal(reading.id, reading.opcode, reading.code);
      const { query } = reading;
      const maxBytes = transport === "udp" ? udpAnswerMaxBytes(query) : TCP_MAX_BYTES;
      const { type, class: questionClass } = query.question;
      if (query.edns !== undefined && query.edns.version > 0)
        return encodeAnswer(query, failure(responseCode.badVersion), maxBytes);
      if (type === recordType.AXFR || type === recordType.IXFR || questionClass !== recordClass.IN)
        return encodeAnswer(query, failure(responseCode.refused), maxBytes);
      if (type === recordType.ANY)
        return encodeAnswer(query, failure(responseCode.notImplemented), maxBytes);
      const result = zone().resolve(query.question);
      if (result.kind === "answer") return encodeAnswer(query, result.answer, maxBytes);
      if (result.kind === "alias")
        return answerAlias(query, result.alias, result.target).then((answer) =>
          encodeAnswer(query, answer, maxBytes),
        );
      return forward(query, bytes, transport, maxBytes);
    },
  };
}

/** The addresses and aliases of an answer. */
function readRecords(bytes: Uint8Array): DnsRecord[] {
  return readMessage(bytes).answers.flatMap((record): DnsRecord[] => {
    if (record.class !== recordClass.IN) return [];
    const { name, ttl } = record;
    const data = bytes.subarray(record.dataOffset, record.dataOffset + record.dataLength);
    if (record.type === recordType.A && data.length === 4)
      return [{ type: "A", name, ttl, address: addressOfBytes(data) }];
    if (record.type === recordType.AAAA && data.length === 16)
      return [{ type: "AAAA", name, ttl, address: addressOfBytes(data) }];
    if (record.type === recordType.CNAME)
      return [
        { type: "CNAME", name, ttl, target: foldName(readName(bytes, record.dataOffset).name) },
      ];
    return [];
  });
}

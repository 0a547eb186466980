/** The part of dns-packet (which ships no types) that tests use as their oracle. */
declare module "dns-packet" {
  namespace packet {
    interface Question {
      readonly type: string;
      readonly name: string;
      readonly class?: string;
    }
    interface Answer {
      readonly type: string;
      readonly name: string;
      readonly ttl?: number;
      readonly class?: string;
      readonly data?: unknown;
      readonly udpPayloadSize?: number;
      readonly flags?: number;
      readonly options?: readonly unknown[];
    }
    interface Packet {
      readonly id?: number;
      readonly type?: "query" | "response";
      readonly flags?: number;
      readonly opcode?: string;
      readonly rcode?: string;
      readonly flag_aa?: boolean;
      readonly flag_tc?: boolean;
      readonly flag_ra?: boolean;
      readonly flag_rd?: boolean;
      readonly questions?: readonly Question[];
      readonly answers?: readonly Answer[];
      readonly authorities?: readonly Answer[];
      readonly additionals?: readonly Answer[];
    }
    function encode(message: Packet): Buffer;
    function decode(message: Buffer): Packet;
    const RECURSION_DESIRED: number;
    const RECURSION_AVAILABLE: number;
    const AUTHORITATIVE_ANSWER: number;
    const TRUNCATED_RESPONSE: number;
    const DNSSEC_OK: number;
  }
  export default packet;
}

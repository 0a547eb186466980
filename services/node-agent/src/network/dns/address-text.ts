import { BlockList, isIP, SocketAddress } from "node:net";

/**
 * Addresses as the DNS process needs them, on Node's own parsers: the process carries none of the network package, whose programs and
 * tables would cost it ten megabytes.
 */

export function isAddress(text: string): boolean {
  return isIP(text) !== 0;
}

export function isIpv6(text: string): boolean {
  return text.includes(":");
}

/** One text for one address. The argument must be an address. */
export function canonicalAddress(text: string): string {
  return isIpv6(text) ? new SocketAddress({ address: text, family: "ipv6" }).address : text;
}

/** 4 or 16 bytes. The argument must be an address. */
export function addressBytes(text: string): Uint8Array {
  if (!isIpv6(text)) return Uint8Array.from(text.split("."), Number);
  const bytes = new Uint8Array(16);
  const [head = "", tail] = canonicalAddress(text).split("::");
  const left = groupBytes(head);
  const right = tail === undefined ? [] : groupBytes(tail);
  bytes.set(left, 0);
  bytes.set(right, 16 - right.length);
  return bytes;
}

/** The inverse of `addressBytes`. */
export function addressOfBytes(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join(".");
  return canonicalAddress(
    Array.from({ length: 8 }, (_, group) =>
      (((bytes[group * 2] ?? 0) << 8) | (bytes[group * 2 + 1] ?? 0)).toString(16),
    ).join(":"),
  );
}

/** Blocks such as "10.42.0.0/16". An IPv4 address in its IPv6 form ("::ffff:10.42.0.5") lies in IPv4 blocks. */
export function blockList(cidrs: readonly string[]): { has(address: string): boolean } {
  const list = new BlockList();
  for (const cidr of cidrs) {
    const [base = "", prefix = ""] = cidr.split("/");
    list.addSubnet(base, Number(prefix), isIpv6(base) ? "ipv6" : "ipv4");
  }
  return { has: (address) => list.check(address, isIpv6(address) ? "ipv6" : "ipv4") };
}

function groupBytes(text: string): number[] {
  if (text === "") return [];
  return text.split(":").flatMap((group) => {
    if (group.includes(".")) return group.split(".").map(Number);
    const value = Number.parseInt(group, 16);
    return [value >> 8, value & 255];
  });
}

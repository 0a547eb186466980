import { formatAddress, parseAddress, type IpAddress, type IpFamily } from "./address.ts";
import { NetworkError } from "./network-error.ts";

/** A block of addresses. `base` has all host bits clear. */
export interface Cidr {
  readonly family: IpFamily;
  readonly base: bigint;
  readonly prefix: number;
}

/** Reads "10.42.0.0/16"; host bits in the address are cleared, as upstream's ParseCIDR does. */
export function parseCidr(text: string): Cidr {
  const slash = text.indexOf("/");
  const prefixText = slash < 0 ? "" : text.slice(slash + 1);
  const address = slash < 0 ? undefined : parseAddress(text.slice(0, slash));
  const prefix = /^(0|[1-9]\d{0,2})$/.test(prefixText) ? Number(prefixText) : -1;
  if (address === undefined || prefix < 0 || prefix > bitsOf(address.family)) {
    throw new NetworkError("invalid-address", `"${text}" is not a CIDR such as 10.42.0.0/16`);
  }
  return cidrAround(address, prefix);
}

/** The block with `prefix` bits that `address` lies in. */
export function cidrAround(address: IpAddress, prefix: number): Cidr {
  const hostBits = BigInt(bitsOf(address.family) - prefix);
  return { family: address.family, base: (address.value >> hostBits) << hostBits, prefix };
}

export function formatCidr(cidr: Cidr): string {
  return `${formatAddress({ family: cidr.family, value: cidr.base })}/${cidr.prefix}`;
}

export function cidrContains(cidr: Cidr, address: IpAddress): boolean {
  if (cidr.family !== address.family) return false;
  const hostBits = BigInt(bitsOf(cidr.family) - cidr.prefix);
  return address.value >> hostBits === cidr.base >> hostBits;
}

/** Blocks are nested or disjoint, so one contains the other's base when they overlap. */
export function cidrsOverlap(a: Cidr, b: Cidr): boolean {
  return a.prefix <= b.prefix
    ? cidrContains(a, { family: b.family, value: b.base })
    : cidrContains(b, { family: a.family, value: a.base });
}

/** How many addresses the block holds, network and broadcast address included. */
export function cidrSize(cidr: Cidr): bigint {
  return 1n << BigInt(bitsOf(cidr.family) - cidr.prefix);
}

/** The address `index` places after the base; negative counts from the end (-1 = last). */
export function nthAddress(cidr: Cidr, index: number | bigint): IpAddress {
  const size = cidrSize(cidr);
  const offset = BigInt(index) < 0n ? size + BigInt(index) : BigInt(index);
  if (offset < 0n || offset >= size) {
    throw new NetworkError(
      "invalid-address",
      `${formatCidr(cidr)} has ${size} addresses; number ${index} does not exist`,
    );
  }
  return { family: cidr.family, value: cidr.base + offset };
}

/** How many blocks of `prefix` bits fit in `cidr`; 0 when they are larger than it. */
export function subnetCount(cidr: Cidr, prefix: number): number {
  if (prefix < cidr.prefix || prefix > bitsOf(cidr.family)) return 0;
  return Number(1n << BigInt(prefix - cidr.prefix));
}

/** Block number `index` of `prefix` bits inside `cidr`: the /24 of a node inside the cluster's /16. */
export function nthSubnet(cidr: Cidr, prefix: number, index: number): Cidr {
  if (index < 0 || index >= subnetCount(cidr, prefix)) {
    throw new NetworkError(
      "invalid-address",
      `${formatCidr(cidr)} has no /${prefix} number ${index}`,
    );
  }
  return {
    family: cidr.family,
    base: cidr.base + (BigInt(index) << BigInt(bitsOf(cidr.family) - prefix)),
    prefix,
  };
}

/** The inverse of `nthSubnet`; undefined when `subnet` does not lie in `cidr`. */
export function subnetIndex(cidr: Cidr, subnet: Cidr): number | undefined {
  if (
    subnet.prefix < cidr.prefix ||
    !cidrContains(cidr, { family: subnet.family, value: subnet.base })
  )
    return undefined;
  return Number((subnet.base - cidr.base) >> BigInt(bitsOf(cidr.family) - subnet.prefix));
}

/** Drops blocks that lie in another one of the list; keeps the first of equals. Order is by base. */
export function mergeCidrs(cidrs: readonly Cidr[]): Cidr[] {
  const sorted = [...cidrs].sort(
    (a, b) =>
      a.family - b.family || (a.base < b.base ? -1 : a.base > b.base ? 1 : a.prefix - b.prefix),
  );
  const kept: Cidr[] = [];
  for (const cidr of sorted) {
    const last = kept.at(-1);
    if (last === undefined || !cidrsOverlap(last, cidr)) kept.push(cidr);
  }
  return kept;
}

function bitsOf(family: IpFamily): number {
  return family === 4 ? 32 : 128;
}

/** Bytes that are no DNS message. */
export class MalformedMessageError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "MalformedMessageError";
  }
}

/**
 * Domain names as text: labels joined by dots, without the final dot; the root is "". A dot or backslash inside a label is escaped with a
 * backslash, other bytes stand for themselves (latin1), so that text and wire form map one to one.
 */

const NAME_MAX_BYTES = 255;
const LABEL_MAX_BYTES = 63;

export interface NameAt {
  readonly name: string;
  /** The offset after the name where it stands (after the pointer if it was compressed). */
  readonly end: number;
}

/** Reads a name, compressed or not. Pointers must lead backwards, so a loop is impossible. */
export function readName(bytes: Uint8Array, start: number): NameAt {
  let name = "";
  let offset = start;
  let end = -1;
  let lowest = start;
  let total = 1;
  for (;;) {
    const length = bytes[offset];
    if (length === undefined)
      throw new MalformedMessageError("a DNS name runs past the end of the message");
    if (length === 0) return { name, end: end < 0 ? offset + 1 : end };
    if (length >= 0xc0) {
      const low = bytes[offset + 1];
      if (low === undefined)
        throw new MalformedMessageError("a DNS name runs past the end of the message");
      const target = ((length & 0x3f) << 8) | low;
      if (end < 0) end = offset + 2;
      if (target >= lowest) throw new MalformedMessageError("a DNS name points forwards");
      lowest = target;
      offset = target;
      continue;
    }
    if (length > LABEL_MAX_BYTES || offset + 1 + length > bytes.length)
      throw new MalformedMessageError("a DNS label is longer than 63 bytes or than the message");
    total += length + 1;
    if (total > NAME_MAX_BYTES)
      throw new MalformedMessageError("a DNS name is longer than 255 bytes");
    if (name !== "") name += ".";
    for (let index = offset + 1; index <= offset + length; index += 1) {
      const code = bytes[index] ?? 0;
      name += code === 0x2e ? "\\." : code === 0x5c ? "\\\\" : String.fromCharCode(code);
    }
    offset += length + 1;
  }
}

/** The labels of a name in text form, unescaped. */
export function nameLabels(name: string): string[] {
  if (name === "") return [];
  if (!name.includes("\\")) return name.split(".");
  const labels: string[] = [];
  let label = "";
  for (let index = 0; index < name.length; index += 1) {
    const char = name[index] ?? "";
    if (char === "\\") {
      index += 1;
      label += name[index] ?? "";
    } else if (char === ".") {
      labels.push(label);
      label = "";
    } else {
      label += char;
    }
  }
  return [...labels, label];
}

/** Lower case for ASCII letters only, as DNS compares names. */
export function foldName(name: string): string {
  for (let index = 0; index < name.length; index += 1) {
    const code = name.charCodeAt(index);
    if (code >= 65 && code <= 90)
      return name.replaceAll(/[A-Z]+/g, (letters) => letters.toLowerCase());
  }
  return name;
}

/** True for a name that can be put into a message: labels of 1 to 63 bytes, 255 in all. */
export function isEncodableName(name: string): boolean {
  const labels = nameLabels(name);
  return (
    labels.every((label) => label.length > 0 && label.length <= LABEL_MAX_BYTES) &&
    labels.reduce((sum, label) => sum + label.length + 1, 1) <= NAME_MAX_BYTES
  );
}

/** "4.3.2.1.in-addr.arpa" for 1.2.3.4; undefined for a name that is not a whole address under one of the two reverse trees. */
export function addressOfReverseName(name: string): string | undefined {
  const folded = foldName(name);
  if (folded.endsWith(".in-addr.arpa")) {
    const octets = folded.slice(0, -".in-addr.arpa".length).split(".");
    if (
      octets.length !== 4 ||
      !octets.every((octet) => /^(0|[1-9]\d{0,2})$/.test(octet) && Number(octet) < 256)
    )
      return undefined;
    return octets.reverse().join(".");
  }
  if (folded.endsWith(".ip6.arpa")) {
    const nibbles = folded.slice(0, -".ip6.arpa".length).split(".");
    if (nibbles.length !== 32 || !nibbles.every((nibble) => /^[0-9a-f]$/.test(nibble)))
      return undefined;
    const hex = nibbles.reverse().join("");
    return Array.from({ length: 8 }, (_, group) => hex.slice(group * 4, group * 4 + 4)).join(":");
  }
  return undefined;
}

import { RuntimeError } from "../runtime.ts";

export interface SandboxAddresses {
  /** Throws `resourceExhausted` when every address is taken. */
  allocate(): string;
  release(address: string): void;
}

/** Hands out the IPv4 addresses of a block in turn, so that a freed one rests for as long as possible. The first two and the last are left out. */
export function createSandboxAddresses(cidr: string): SandboxAddresses {
  const match = /^(\d+)\.(\d+)\.(\d+)\.(\d+)\/(\d+)$/.exec(cidr);
  const [a = 0, b = 0, c = 0, d = 0, prefix = 33] = (match ?? []).slice(1).map(Number);
  if (match === null || prefix > 29 || [a, b, c, d].some((part) => part > 255)) {
    throw new RuntimeError(
      "invalidArgument",
      `${cidr} is not an IPv4 block with a prefix of at most 29`,
    );
  }
  const size = 2 ** (32 - prefix);
  const base = Math.floor((((a * 256 + b) * 256 + c) * 256 + d) / size) * size;
  const taken = new Set<number>();
  let next = 2;
  return {
    allocate() {
      for (let tried = 0; tried < size; tried += 1) {
        const offset = next;
        next = next >= size - 2 ? 2 : next + 1;
        if (taken.has(offset)) continue;
        taken.add(offset);
        return format(base + offset);
      }
      throw new RuntimeError("resourceExhausted", `every address of ${cidr} is taken`);
    },
    release(address) {
      const number = address.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
      taken.delete(number - base);
    },
  };
}

function format(address: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(address / 2 ** shift) % 256).join(".");
}

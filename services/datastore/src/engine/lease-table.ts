import type { KeyText } from "./key-version.ts";

export interface Lease {
  readonly id: bigint;
  readonly ttlSeconds: number;
  /** On the monotonic clock. */
  expiresMs: number;
  readonly keys: Set<KeyText>;
}

/** The leases at the tip, and the keys that hang on each. */
export class LeaseTable {
  readonly #leases = new Map<bigint, Lease>();

  get size(): number {
    return this.#leases.size;
  }

  get(id: bigint): Lease | undefined {
    return this.#leases.get(id);
  }

  has(id: bigint): boolean {
    return this.#leases.has(id);
  }

  add(lease: Lease): void {
    this.#leases.set(lease.id, lease);
  }

  remove(id: bigint): void {
    this.#leases.delete(id);
  }

  values(): IterableIterator<Lease> {
    return this.#leases.values();
  }

  attach(id: bigint, key: KeyText): void {
    this.#leases.get(id)?.keys.add(key);
  }

  detach(id: bigint, key: KeyText): void {
    this.#leases.get(id)?.keys.delete(key);
  }
}

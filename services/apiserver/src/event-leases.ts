/**
 * Leases that let events expire. As upstream does it, one lease is shared by what is written within a minute (or 5 % of the time to live,
 * whichever is less), for at most 1,000 objects, so that a burst of events costs a handful of leases.
 */
import type { Leases } from "@wherry/etcd-api";
import type { Clock } from "@wherry/service-kit";

const objectsPerLeaseMax = 1_000;
const reuseSecondsMax = 60;
const reuseShare = 0.05;

export interface LeaseSource {
  /** A lease that ends `ttlSeconds` from now or a little later. */
  leaseFor(ttlSeconds: number): Promise<bigint>;
}

export function createLeaseSource(store: Pick<Leases, "leaseGrant">, clock: Clock): LeaseSource {
  let current:
    | { id: Promise<bigint>; ttlSeconds: number; reusableUntilMs: number; objects: number }
    | undefined;
  return {
    async leaseFor(ttlSeconds) {
      const nowMs = clock.monotonic();
      if (
        current?.ttlSeconds === ttlSeconds &&
        nowMs < current.reusableUntilMs &&
        current.objects < objectsPerLeaseMax
      ) {
        current.objects += 1;
        return current.id;
      }
      const reuseSeconds = Math.min(reuseSecondsMax, Math.floor(ttlSeconds * reuseShare));
      const id = store.leaseGrant({ ttl: ttlSeconds + reuseSeconds }).then((granted) => granted.id);
      const lease = { id, ttlSeconds, reusableUntilMs: nowMs + reuseSeconds * 1000, objects: 1 };
      current = lease;
      id.catch(() => {
        if (current === lease) current = undefined;
      });
      return id;
    },
  };
}

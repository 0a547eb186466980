import {
  formatMicroTime,
  isConflict,
  isNotFound,
  type Lease,
  type LeaseSpec,
} from "@wherry/machinery";
import type { Clock, Logger } from "@wherry/service-kit";
import type { ApiClient } from "./api-client.ts";
import { resources } from "./resources.ts";

/**
 * Leader election over a Lease, compatible with client-go's.
 * 1. Whoever holds the lease renews it every `retryPeriodMs`; others look at it as often.
 * 2. A lease may be taken over when it has no holder, or when nobody has seen it change for its duration on the own monotonic clock. Clocks
 *    of different machines are never compared.
 * 3. A leader that could not renew for `renewDeadlineMs` stops leading before anyone else may begin (renew deadline < lease duration).
 */
export interface LeaderElectionOptions {
  readonly client: ApiClient;
  readonly clock: Clock;
  readonly log: Logger;
  readonly namespace: string;
  readonly name: string;
  /** Unique among the candidates ("host_uuid"). */
  readonly identity: string;
  /** Aborting it ends leadership in order and releases the lease. */
  readonly signal: AbortSignal;
  /** Runs while this candidate leads. Must end soon after its signal aborts. */
  readonly lead: (signal: AbortSignal) => Promise<void>;
  readonly onNewLeader?: (identity: string) => void;
  /** 15,000 by default. */
  readonly leaseDurationMs?: number;
  /** 10,000 by default. */
  readonly renewDeadlineMs?: number;
  /** 2,000 by default. */
  readonly retryPeriodMs?: number;
  /** Jitter between attempts to acquire; Math.random by default. */
  readonly random?: () => number;
}

export class LeaderElectionError extends Error {
  readonly code = "lost";

  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "LeaderElectionError";
  }
}

const jitterFactor = 1.2;

/** Resolves when the signal aborted or `lead` returned; rejects with LeaderElectionError when the lease was lost, or as `lead` does. */
export async function runLeaderElection(options: LeaderElectionOptions): Promise<void> {
  const { clock, log, signal, identity, random = Math.random } = options;
  const retryPeriodMs = options.retryPeriodMs ?? 2_000;
  const candidate = createCandidate(options);
  while (!signal.aborted && !(await candidate.tryAcquireOrRenew(signal))) {
    await clock.sleep(retryPeriodMs * (1 + random() * jitterFactor), signal).catch(ignoreAbort);
  }
  if (signal.aborted) return;
  log.info({ lease: options.name, identity }, "became leader");

  const leading = new AbortController();
  const onAbort = (): void => leading.abort(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  let lost: unknown;
  const renewal = renew(options, candidate, leading.signal).catch((error: unknown) => {
    lost = error;
    leading.abort(error);
  });
  try {
    await options.lead(leading.signal);
  } finally {
    signal.removeEventListener("abort", onAbort);
    leading.abort(new Error("leading has ended"));
    await renewal;
    if (lost === undefined) await candidate.release();
  }
  if (lost !== undefined) throw lost;
}

async function renew(
  options: LeaderElectionOptions,
  candidate: Candidate,
  signal: AbortSignal,
): Promise<void> {
  const { clock, name, renewDeadlineMs = 10_000, retryPeriodMs = 2_000 } = options;
  let renewedMs = clock.monotonic();
  while (!signal.aborted) {
    await clock.sleep(retryPeriodMs, signal).catch(ignoreAbort);
    if (signal.aborted) return;
    const leftMs = renewedMs + renewDeadlineMs - clock.monotonic();
    if (leftMs > 0) {
      const attempt = new AbortController();
      const timer = clock.setTimer(leftMs, () =>
        attempt.abort(new Error("the renew deadline has passed")),
      );
      const renewed = await candidate.tryAcquireOrRenew(AbortSignal.any([signal, attempt.signal]));
      timer.cancel();
      if (renewed) {
        renewedMs = clock.monotonic();
        continue;
      }
    }
    if (signal.aborted) return;
    if (clock.monotonic() - renewedMs >= renewDeadlineMs) {
      throw new LeaderElectionError(`lease ${name} was not renewed within ${renewDeadlineMs} ms`);
    }
  }
}

interface Candidate {
  /** Never rejects: false means that someone else holds the lease or the API did not answer. */
  tryAcquireOrRenew(signal: AbortSignal): Promise<boolean>;
  release(): Promise<void>;
}

function createCandidate(options: LeaderElectionOptions): Candidate {
  const { client, clock, log, namespace, name, identity, leaseDurationMs = 15_000 } = options;
  let observed: Lease | undefined;
  let observedMs = 0;
  let leader = "";

  const observe = (lease: Lease): void => {
    if (lease.metadata.resourceVersion !== observed?.metadata.resourceVersion)
      observedMs = clock.monotonic();
    observed = lease;
    const holder = lease.spec.holderIdentity ?? "";
    if (holder !== leader && holder !== "") options.onNewLeader?.(holder);
    leader = holder;
  };

  const attempt = async (signal: AbortSignal): Promise<boolean> => {
    const now = formatMicroTime(clock.now());
    let lease: Lease;
    try {
      lease = await client.get<Lease>(resources.leases, name, namespace, { signal });
    } catch (error) {
      if (!isNotFound(error)) throw error;
      const spec = leaseSpec(identity, leaseDurationMs, now, now, 0);
      observe(
        await client.create<Lease>(resources.leases, emptyLease(namespace, name, spec), { signal }),
      );
      return true;
    }
    observe(lease);
    const holder = lease.spec.holderIdentity ?? "";
    const isMine = holder === identity;
    const validMs = observedMs + (lease.spec.leaseDurationSeconds ?? 0) * 1000;
    if (holder !== "" && !isMine && clock.monotonic() < validMs) return false;
    const transitions = (lease.spec.leaseTransitions ?? 0) + (isMine ? 0 : 1);
    const acquireTime = isMine ? (lease.spec.acquireTime ?? now) : now;
    const spec = leaseSpec(identity, leaseDurationMs, acquireTime, now, transitions);
    observe(
      await client.update<Lease>(
        resources.leases,
        { ...lease, spec: { ...lease.spec, ...spec } },
        { signal },
      ),
    );
    return true;
  };

  return {
    async tryAcquireOrRenew(signal) {
      try {
        return await attempt(signal);
      } catch (error) {
        if (signal.aborted || isConflict(error)) return false;
        log.warn({ lease: name, err: error }, "lease could not be acquired or renewed");
        return false;
      }
    },
    async release() {
      const now = formatMicroTime(clock.now());
      const deadline = new AbortController();
      const timer = clock.setTimer(options.renewDeadlineMs ?? 10_000, () => deadline.abort());
      const { signal } = deadline;
      try {
        // Read again: a renewal that was aborted may have been carried out.
        const lease = await client.get<Lease>(resources.leases, name, namespace, { signal });
        if (lease.spec.holderIdentity !== identity) return;
        const spec = leaseSpec("", 1000, now, now, lease.spec.leaseTransitions ?? 0);
        await client.update<Lease>(resources.leases, { ...lease, spec }, { signal });
      } catch (error) {
        log.warn({ lease: name, err: error }, "lease could not be released; it runs out by itself");
      } finally {
        timer.cancel();
      }
    },
  };
}

function leaseSpec(
  holderIdentity: string,
  durationMs: number,
  acquireTime: string,
  renewTime: string,
  leaseTransitions: number,
): LeaseSpec {
  return {
    holderIdentity,
    leaseDurationSeconds: Math.ceil(durationMs / 1000),
    acquireTime,
    renewTime,
    leaseTransitions,
  };
}

function emptyLease(namespace: string, name: string, spec: LeaseSpec): Lease {
  return {
    apiVersion: "coordination.k8s.io/v1",
    kind: "Lease",
    metadata: { name, namespace },
    spec,
  };
}

function ignoreAbort(): void {
  // The loop looks at the signal itself.
}

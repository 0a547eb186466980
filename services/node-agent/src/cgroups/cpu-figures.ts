/** CPU figures of the kernel's schedulers, from milli-cores. */

export const cpuPeriodUs = 100_000;
const sharesMin = 2;
const sharesMax = 262_144;
const quotaMinUs = 1_000;

export function cpuShares(milli: number): number {
  if (milli === 0) return sharesMin;
  return Math.min(Math.max(Math.floor((milli * 1_024) / 1_000), sharesMin), sharesMax);
}

/** Microseconds a period; undefined: no limit. */
export function cpuQuota(milli: number): number | undefined {
  if (milli === 0) return undefined;
  return Math.max(Math.floor((milli * cpuPeriodUs) / 1_000), quotaMinUs);
}

/** Shares (2 to 262144) on cgroup v2's weight scale (1 to 10000). */
export function cpuWeight(shares: number): number {
  return Math.floor(1 + ((shares - sharesMin) * 9_999) / (sharesMax - sharesMin));
}

import type { Container, Pod } from "./core.ts";
import { parseQuantity, quantityMilliValue, quantityValue } from "./quantity.ts";

/** Amounts by resource name: cpu in thousandths of a core, everything else in whole units (bytes, pieces). */
export type ResourceAmounts = ReadonlyMap<string, number>;

/**
 * What a pod asks for as a whole (KEP-753, KEP-2837): the sum of containers and sidecars, or what an init container needs together with the
 * sidecars started before it if that is more; pod-level requests replace it where given; overhead comes on top.
 */
export function podRequests(
  pod: Pick<Pod, "spec">,
  requestsOf: (container: Container) => ResourceAmounts = containerRequests,
): ResourceAmounts {
  const sum = new Map<string, number>();
  for (const container of pod.spec.containers) add(sum, requestsOf(container));
  const sidecars = new Map<string, number>();
  const initPeak = new Map<string, number>();
  for (const container of pod.spec.initContainers ?? []) {
    const own = new Map(requestsOf(container));
    if (container.restartPolicy === "Always") {
      add(sum, own);
      add(sidecars, own);
      raise(initPeak, sidecars);
    } else {
      add(own, sidecars);
      raise(initPeak, own);
    }
  }
  raise(sum, initPeak);
  for (const [name, amount] of amountsOf(pod.spec.resources?.requests)) sum.set(name, amount);
  add(sum, amountsOf(pod.spec.overhead));
  return sum;
}

export function containerRequests(container: Container): ResourceAmounts {
  return amountsOf(container.resources?.requests);
}

export function amountsOf(list: Readonly<Record<string, string>> | undefined): Map<string, number> {
  return new Map(Object.entries(list ?? {}).map(([name, text]) => [name, amountOf(name, text)]));
}

function amountOf(name: string, text: string): number {
  const quantity = parseQuantity(text);
  return name === "cpu" ? quantityMilliValue(quantity) : quantityValue(quantity);
}

function add(target: Map<string, number>, amounts: ResourceAmounts): void {
  for (const [name, amount] of amounts) target.set(name, (target.get(name) ?? 0) + amount);
}

function raise(target: Map<string, number>, amounts: ResourceAmounts): void {
  for (const [name, amount] of amounts) target.set(name, Math.max(target.get(name) ?? 0, amount));
}

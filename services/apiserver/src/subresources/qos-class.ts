type Quantities = Readonly<Record<string, string | undefined>>;

export interface ResourceContainer {
  readonly resources?: { readonly requests?: Quantities; readonly limits?: Quantities };
}

export interface ResourcePod {
  readonly containers?: readonly ResourceContainer[];
  readonly initContainers?: readonly ResourceContainer[];
}

/** Guaranteed = cpu and memory limits everywhere, equal to the requests; BestEffort = none at all; Burstable = the rest. */
export function qosClass(spec: ResourcePod): "Guaranteed" | "Burstable" | "BestEffort" {
  const containers = [...(spec.containers ?? []), ...(spec.initContainers ?? [])];
  const has = (quantities: Quantities | undefined): boolean =>
    isSet(quantities?.["cpu"]) || isSet(quantities?.["memory"]);
  if (!containers.some(({ resources }) => has(resources?.requests) || has(resources?.limits)))
    return "BestEffort";
  const guaranteed = containers.every(({ resources }) =>
    (["cpu", "memory"] as const).every((name) => {
      const limit = resources?.limits?.[name];
      return isSet(limit) && (resources?.requests?.[name] ?? limit) === limit;
    }),
  );
  return guaranteed ? "Guaranteed" : "Burstable";
}

function isSet(quantity: string | undefined): quantity is string {
  return quantity !== undefined && quantity !== "0";
}

import type { PatchField, PatchSchema } from "@wherry/machinery";

/**
 * Enough of the types for strategic merge patches in tests: the lists with merge keys that controllers patch. Unknown fields merge as
 * maps and replace as lists.
 */
const open: PatchSchema = {};

function mergeList(key?: string, item: PatchSchema = open): PatchField {
  return {
    schema: { items: item },
    patchStrategy: ["merge"],
    ...(key === undefined ? {} : { patchMergeKey: key }),
  };
}

function objectSchema(fields: Readonly<Record<string, PatchField>>): PatchSchema {
  return { properties: new Map(Object.entries(fields)), values: open };
}

const container = objectSchema({
  env: mergeList("name"),
  ports: mergeList("containerPort"),
  volumeMounts: mergeList("mountPath"),
});

const podSpec = objectSchema({
  containers: mergeList("name", container),
  initContainers: mergeList("name", container),
  ephemeralContainers: mergeList("name", container),
  volumes: mergeList("name"),
  imagePullSecrets: mergeList("name"),
  hostAliases: mergeList("ip"),
});

const metadata = objectSchema({
  finalizers: mergeList(),
  ownerReferences: mergeList("uid"),
});

const template: PatchField = {
  schema: objectSchema({ metadata: { schema: metadata }, spec: { schema: podSpec } }),
};

const status: PatchField = {
  schema: objectSchema({
    conditions: mergeList("type"),
    podIPs: mergeList("ip"),
    hostIPs: mergeList("ip"),
    addresses: mergeList("type"),
  }),
};

const workload = objectSchema({
  metadata: { schema: metadata },
  spec: { schema: objectSchema({ template }) },
  status,
});
const pod = objectSchema({ metadata: { schema: metadata }, spec: { schema: podSpec }, status });
const service = objectSchema({
  metadata: { schema: metadata },
  spec: { schema: objectSchema({ ports: mergeList("port") }) },
  status,
});
const node = objectSchema({
  metadata: { schema: metadata },
  spec: { schema: objectSchema({ podCIDRs: mergeList() }) },
  status,
});

export function memoryPatchSchema(resource: string): PatchSchema {
  if (resource === "pods") return pod;
  if (resource === "services") return service;
  return resource === "nodes" ? node : workload;
}

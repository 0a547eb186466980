import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { builtinResources } from "./builtin-resources.ts";
import {
  aggregatedDiscovery,
  coreVersions,
  groupDocument,
  groupList,
  resourceList,
} from "./discovery.ts";
import { createResourceRegistry } from "./registry.ts";
import { compareVersions } from "./version-order.ts";

interface GroupEntry {
  readonly name: string;
  versions: { readonly groupVersion: string; readonly version: string }[];
  readonly preferredVersion: unknown;
}

interface AggregatedGroup {
  readonly metadata: { readonly name?: string };
  versions: { readonly version: string }[];
}

/** Upstream's own documents, of a server that serves the betas too. */
const recorded = JSON.parse(
  readFileSync(join(import.meta.dirname, "testdata/discovery.json"), "utf8"),
) as {
  readonly apis: { readonly groups: GroupEntry[] };
  readonly aggregated: { readonly items: AggregatedGroup[] };
  readonly lists: Readonly<Record<string, object>>;
};
const registry = createResourceRegistry(builtinResources());
const isStable = (item: { readonly version: string }): boolean => /^v\d+$/.test(item.version);

test("the list of groups is upstream's, without the versions that a default server does not serve", () => {
  const groups = recorded.apis.groups
    .map((group) => ({ ...group, versions: group.versions.filter(isStable) }))
    .filter((group) => group.versions.length > 0);
  assert.deepEqual(groupList(registry), { kind: "APIGroupList", apiVersion: "v1", groups });
});

test("every group version lists its resources as upstream does", () => {
  assert.ok(Object.keys(recorded.lists).length > 20);
  for (const [groupVersion, list] of Object.entries(recorded.lists)) {
    const [group, version] = groupVersion === "v1" ? ["", "v1"] : groupVersion.split("/");
    assert.deepEqual(resourceList(registry, group ?? "", version ?? ""), list, groupVersion);
  }
});

test("the aggregated document is upstream's", () => {
  const items = recorded.aggregated.items
    .map((group) => ({ ...group, versions: group.versions.filter(isStable) }))
    .filter((group) => group.versions.length > 0);
  const actual = aggregatedDiscovery(registry, "groups", "v2");
  assert.deepEqual(actual["items"], items);
  assert.equal(actual["apiVersion"], "apidiscovery.k8s.io/v2");
  const core = aggregatedDiscovery(registry, "core", "v2beta1") as unknown as {
    items: AggregatedGroup[];
  };
  assert.equal(core.items.length, 1);
  assert.equal(core.items[0]?.versions[0]?.version, "v1");
});

test("single groups and the core versions are told as a server does", () => {
  assert.deepEqual(groupDocument(registry, "apps"), {
    kind: "APIGroup",
    apiVersion: "v1",
    name: "apps",
    versions: [{ groupVersion: "apps/v1", version: "v1" }],
    preferredVersion: { groupVersion: "apps/v1", version: "v1" },
  });
  assert.equal(groupDocument(registry, "nothing.example.com"), undefined);
  assert.equal(resourceList(registry, "apps", "v9"), undefined);
  assert.deepEqual(coreVersions(registry, "192.0.2.2:16543"), {
    kind: "APIVersions",
    versions: ["v1"],
    serverAddressByClientCIDRs: [{ clientCIDR: "0.0.0.0/0", serverAddress: "192.0.2.2:16543" }],
  });
});

test("versions are ordered by stability, then by number", () => {
  const versions = ["v1alpha1", "foo", "v1", "v2beta1", "v10", "v2"];
  assert.deepEqual(versions.sort(compareVersions), [
    "v10",
    "v2",
    "v1",
    "v2beta1",
    "v1alpha1",
    "foo",
  ]);
});

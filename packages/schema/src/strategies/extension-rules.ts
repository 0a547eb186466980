import { formatTime } from "@wherry/machinery";
import { copyOf, ensureTree, sameValue, textAt, treesAt, treeAt, type Tree } from "../tree.ts";
import { allMetadata, type KindRules } from "./create-strategy.ts";

export const certificateSigningRequestRules: KindRules = {
  statusKeepsMetadata: allMetadata,
  prepareForCreate(request, { user }) {
    const spec = ensureTree(request, "spec");
    for (const name of ["username", "uid", "groups", "extra"]) delete spec[name];
    if (user === undefined) return;
    spec["username"] = user.name;
    if (user.uid !== undefined && user.uid !== "") spec["uid"] = user.uid;
    if (user.groups.length > 0) spec["groups"] = [...user.groups];
    if (user.extra !== undefined && Object.keys(user.extra).length > 0)
      spec["extra"] = copyOf(user.extra);
  },
  prepareForUpdate(request, old) {
    request["spec"] = copyOf(old["spec"]);
  },
  prepareForStatusUpdate(request, old, { now }) {
    // Approval and denial have a subresource of their own; the status may add and remove the other conditions.
    const status = ensureTree(request, "status");
    const isDecision = (condition: Tree): boolean =>
      ["Approved", "Denied"].includes(textAt(condition, "type"));
    const conditions = [
      ...treesAt(old, "status", "conditions").filter(isDecision).map(copyOf),
      ...treesAt(status, "conditions").filter((condition) => !isDecision(condition)),
    ];
    if (conditions.length > 0) status["conditions"] = conditions;
    else delete status["conditions"];
    stampConditions(conditions, formatTime(now));
  },
};

export const customResourceDefinitionRules: KindRules = {
  hasGeneration: true,
  allowUnconditionalUpdate: false,
  statusKeepsMetadata: allMetadata,
  prepareForCreate: storeVersion,
  prepareForUpdate: storeVersion,
};

export const apiServiceRules: KindRules = {
  allowUnconditionalUpdate: false,
  statusKeepsMetadata: allMetadata,
  prepareForCreate(service, { now }) {
    service["status"] = {};
    if (treeAt(service, "spec", "service") !== undefined) return;
    service["status"] = {
      conditions: [
        {
          type: "Available",
          status: "True",
          lastTransitionTime: formatTime(now),
          reason: "Local",
          message: "Local APIServices are always available",
        },
      ],
    };
  },
};

export const csiDriverRules: KindRules = {
  hasGeneration: false,
  allowUnconditionalUpdate: false,
};

export const endpointSliceRules: KindRules = {
  hasGeneration: true,
  isSpecChange: (slice, old) =>
    ["addressType", "endpoints", "ports"].some((name) => !sameValue(slice[name], old[name])) ||
    !sameValue(treeAt(slice, "metadata")?.["labels"], treeAt(old, "metadata")?.["labels"]),
};

export const resourceSliceRules: KindRules = {
  hasGeneration: true,
  prepareForCreate: stampTaints,
  prepareForUpdate: (slice, _old, context) => stampTaints(slice, context),
};

/** The version that objects are stored as joins the list of those that may be found in the store. */
function storeVersion(definition: Tree): void {
  const status = ensureTree(definition, "status");
  const stored = Array.isArray(status["storedVersions"])
    ? [...(status["storedVersions"] as unknown[])]
    : [];
  for (const version of treesAt(definition, "spec", "versions")) {
    const name = textAt(version, "name");
    if (version["storage"] === true && !stored.includes(name)) stored.push(name);
  }
  status["storedVersions"] = stored;
}

function stampConditions(conditions: readonly Tree[], now: string): void {
  for (const condition of conditions) {
    if (typeof condition["lastUpdateTime"] !== "string") condition["lastUpdateTime"] = now;
    if (typeof condition["lastTransitionTime"] !== "string") condition["lastTransitionTime"] = now;
  }
}

function stampTaints(slice: Tree, { now }: { readonly now: number }): void {
  for (const device of treesAt(slice, "spec", "devices")) {
    for (const taint of treesAt(device, "taints")) taint["timeAdded"] ??= formatTime(now);
  }
}

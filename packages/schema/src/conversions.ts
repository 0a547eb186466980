import type { KubeObject } from "@wherry/machinery";
import { defaultAutoscalerV2 } from "./defaults/autoscaling-defaults.ts";
import type { VersionConversion } from "./resource.ts";
import { copyOf, numberAt, textAt, treeAt, treesAt, type Tree } from "./tree.ts";

/** Kinds that are served in a version other than the one they are stored in. */
export function conversionOf(apiVersion: string, kind: string): VersionConversion | undefined {
  if (apiVersion === "events.k8s.io/v1" && kind === "Event") return eventConversion;
  if (apiVersion === "autoscaling/v1" && kind === "HorizontalPodAutoscaler")
    return autoscalerConversion;
  return undefined;
}

/** Old name and new name of the fields of events. */
const eventFields: readonly (readonly [core: string, events: string])[] = [
  ["involvedObject", "regarding"],
  ["message", "note"],
  ["source", "deprecatedSource"],
  ["firstTimestamp", "deprecatedFirstTimestamp"],
  ["lastTimestamp", "deprecatedLastTimestamp"],
  ["count", "deprecatedCount"],
  ["reportingComponent", "reportingController"],
];

const eventConversion: VersionConversion = {
  toStorage(object) {
    const event = treeFrom(object, "v1");
    for (const [core, events] of eventFields) rename(event, events, core);
    return asObject(event);
  },
  fromStorage(object) {
    const event = treeFrom(object, "events.k8s.io/v1");
    for (const [core, events] of eventFields) rename(event, core, events);
    return asObject(event);
  },
};

const autoscalerConversion: VersionConversion = {
  toStorage(object) {
    const autoscaler = treeFrom(object, "autoscaling/v2");
    const spec = treeAt(autoscaler, "spec") ?? {};
    const status = treeAt(autoscaler, "status") ?? {};
    const metadata = treeAt(autoscaler, "metadata") ?? {};
    const metrics = [...takeAnnotation(metadata, metricsAnnotation)];
    const target = numberAt(spec, "targetCPUUtilizationPercentage");
    delete spec["targetCPUUtilizationPercentage"];
    if (target !== undefined) {
      metrics.unshift({
        type: "Resource",
        resource: { name: "cpu", target: { type: "Utilization", averageUtilization: target } },
      });
    }
    if (metrics.length > 0) spec["metrics"] = metrics;
    const behavior = takeAnnotation(metadata, behaviorAnnotation)[0];
    if (behavior !== undefined) spec["behavior"] = behavior;
    const currentMetrics = [...takeAnnotation(metadata, currentMetricsAnnotation)];
    const current = numberAt(status, "currentCPUUtilizationPercentage");
    delete status["currentCPUUtilizationPercentage"];
    if (current !== undefined) {
      currentMetrics.unshift({
        type: "Resource",
        resource: { name: "cpu", current: { averageUtilization: current, averageValue: "0" } },
      });
    }
    if (currentMetrics.length > 0) status["currentMetrics"] = currentMetrics;
    const conditions = takeAnnotation(metadata, conditionsAnnotation);
    if (conditions.length > 0) status["conditions"] = conditions;
    autoscaler["spec"] = spec;
    autoscaler["status"] = status;
    defaultAutoscalerV2(autoscaler);
    return asObject(autoscaler);
  },
  fromStorage(object) {
    const autoscaler = treeFrom(object, "autoscaling/v1");
    const spec = treeAt(autoscaler, "spec") ?? {};
    const status = treeAt(autoscaler, "status") ?? {};
    const metadata = treeAt(autoscaler, "metadata") ?? {};
    const isProcessor = (metric: Tree): boolean =>
      textAt(metric, "resource", "name") === "cpu" &&
      (numberAt(metric, "resource", "target", "averageUtilization") !== undefined ||
        numberAt(metric, "resource", "current", "averageUtilization") !== undefined);
    const metrics = treesAt(spec, "metrics");
    const target = metrics.find(isProcessor);
    if (target !== undefined) {
      spec["targetCPUUtilizationPercentage"] = numberAt(
        target,
        "resource",
        "target",
        "averageUtilization",
      );
    }
    putAnnotation(
      metadata,
      metricsAnnotation,
      metrics.filter((metric) => metric !== target),
    );
    delete spec["metrics"];
    if (spec["behavior"] !== undefined)
      putAnnotation(metadata, behaviorAnnotation, spec["behavior"]);
    delete spec["behavior"];
    const currentMetrics = treesAt(status, "currentMetrics");
    const current = currentMetrics.find(isProcessor);
    if (current !== undefined) {
      status["currentCPUUtilizationPercentage"] = numberAt(
        current,
        "resource",
        "current",
        "averageUtilization",
      );
    }
    putAnnotation(
      metadata,
      currentMetricsAnnotation,
      currentMetrics.filter((metric) => metric !== current),
    );
    delete status["currentMetrics"];
    putAnnotation(metadata, conditionsAnnotation, treesAt(status, "conditions"));
    delete status["conditions"];
    if (status["currentReplicas"] === undefined) status["currentReplicas"] = 0;
    autoscaler["metadata"] = metadata;
    return asObject(autoscaler);
  },
};

/** What the first version has no field for travels in annotations. */
const metricsAnnotation = "autoscaling.alpha.kubernetes.io/metrics";
const currentMetricsAnnotation = "autoscaling.alpha.kubernetes.io/current-metrics";
const conditionsAnnotation = "autoscaling.alpha.kubernetes.io/conditions";
const behaviorAnnotation = "autoscaling.alpha.kubernetes.io/behavior";

function takeAnnotation(metadata: Tree, name: string): readonly unknown[] {
  const annotations = treeAt(metadata, "annotations");
  const text = annotations?.[name];
  if (annotations === undefined || typeof text !== "string") return [];
  delete annotations[name];
  if (Object.keys(annotations).length === 0) delete metadata["annotations"];
  try {
    const value = JSON.parse(text) as unknown;
    return Array.isArray(value) ? value : [value];
  } catch {
    // Someone else's text in our annotation is dropped, as upstream drops it.
    return [];
  }
}

function putAnnotation(metadata: Tree, name: string, value: unknown): void {
  if (Array.isArray(value) && value.length === 0) return;
  const annotations = treeAt(metadata, "annotations") ?? {};
  annotations[name] = JSON.stringify(value);
  metadata["annotations"] = annotations;
}

function rename(tree: Tree, from: string, to: string): void {
  if (tree[from] === undefined) return;
  tree[to] = tree[from];
  delete tree[from];
}

function treeFrom(object: KubeObject, apiVersion: string): Tree {
  const copy = copyOf(object as unknown as Tree);
  copy["apiVersion"] = apiVersion;
  return copy;
}

function asObject(tree: Tree): KubeObject {
  return tree as unknown as KubeObject;
}

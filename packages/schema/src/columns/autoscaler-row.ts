import { numberAt, textAt, treeAt, treesAt, valueAt, type Tree } from "../tree.ts";
import type { Row } from "./kind-rows.ts";
import { age, count, nameOf, textOrNumber } from "./workload-rows.ts";

const metricsShown = 2;

export const autoscalerRow: Row = (object, now) => [
  nameOf(object),
  `${textAt(object, "spec", "scaleTargetRef", "kind")}/${textAt(object, "spec", "scaleTargetRef", "name")}`,
  targets(object),
  textOrNumber(valueAt(object, "spec", "minReplicas"), "<unset>"),
  count(object, "spec", "maxReplicas"),
  count(object, "status", "currentReplicas"),
  age(object, now),
];

/** The first version knows one metric only: average utilisation of the processor. */
export const autoscalerV1Row: Row = (object, now) => {
  const target = numberAt(object, "spec", "targetCPUUtilizationPercentage");
  const current = numberAt(object, "status", "currentCPUUtilizationPercentage");
  const cells = [...autoscalerRow(object, now)];
  if (target !== undefined) {
    cells[2] = `cpu: ${current === undefined ? "<unknown>" : `${current}%`}/${target}%`;
  }
  return cells;
};

function targets(object: Tree): string {
  const specs = treesAt(object, "spec", "metrics");
  if (specs.length === 0) return "<none>";
  const statuses = treesAt(object, "status", "currentMetrics");
  const cells = specs.map((spec, index) => metricCell(spec, statuses[index]));
  const shown = cells.slice(0, metricsShown).join(", ");
  return cells.length > metricsShown ? `${shown} + ${cells.length - metricsShown} more...` : shown;
}

function metricCell(spec: Tree, status: Tree | undefined): string {
  switch (textAt(spec, "type")) {
    case "External":
      return valueOrAverage(
        treeAt(spec, "external", "target"),
        treeAt(status, "external", "current"),
      );
    case "Pods":
      return `${text(status, "pods", "current", "averageValue")}/${textAt(spec, "pods", "target", "averageValue")}`;
    case "Object":
      return valueOrAverage(treeAt(spec, "object", "target"), treeAt(status, "object", "current"));
    case "Resource":
      return resourceCell(spec, status, "resource");
    case "ContainerResource":
      return resourceCell(spec, status, "containerResource");
    default:
      return "<unknown type>";
  }
}

function valueOrAverage(target: Tree | undefined, current: Tree | undefined): string {
  const average = textAt(target, "averageValue");
  if (average !== "") return `${textAt(current, "averageValue") || "<unknown>"}/${average} (avg)`;
  return `${textAt(current, "value") || "<unknown>"}/${textAt(target, "value")}`;
}

function resourceCell(spec: Tree, status: Tree | undefined, kind: string): string {
  const name = textAt(spec, kind, "name");
  const average = textAt(spec, kind, "target", "averageValue");
  if (average !== "") return `${name}: ${text(status, kind, "current", "averageValue")}/${average}`;
  const wanted = numberAt(spec, kind, "target", "averageUtilization");
  const current = numberAt(status, kind, "current", "averageUtilization");
  return `${name}: ${current === undefined ? "<unknown>" : `${current}%`}/${wanted === undefined ? "<auto>" : `${wanted}%`}`;
}

function text(tree: Tree | undefined, ...path: readonly string[]): string {
  return textAt(tree, ...path) || "<unknown>";
}

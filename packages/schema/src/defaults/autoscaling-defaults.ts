import { ensureTree, listAt, setIfUnset, treeAt, type Tree } from "../tree.ts";

export function defaultAutoscalerV1(autoscaler: Tree): void {
  setIfUnset(ensureTree(autoscaler, "spec"), "minReplicas", 1);
}

export function defaultAutoscalerV2(autoscaler: Tree): void {
  const spec = ensureTree(autoscaler, "spec");
  setIfUnset(spec, "minReplicas", 1);
  if (listAt(spec, "metrics").length === 0) {
    spec["metrics"] = [
      {
        type: "Resource",
        resource: { name: "cpu", target: { type: "Utilization", averageUtilization: 80 } },
      },
    ];
  }
  const behavior = treeAt(spec, "behavior");
  if (behavior === undefined) return;
  const scaleUp = ensureTree(behavior, "scaleUp");
  setIfUnset(scaleUp, "stabilizationWindowSeconds", 0);
  setIfUnset(scaleUp, "selectPolicy", "Max");
  if (listAt(scaleUp, "policies").length === 0) {
    scaleUp["policies"] = [
      { type: "Pods", value: 4, periodSeconds: 15 },
      { type: "Percent", value: 100, periodSeconds: 15 },
    ];
  }
  const scaleDown = ensureTree(behavior, "scaleDown");
  setIfUnset(scaleDown, "selectPolicy", "Max");
  if (listAt(scaleDown, "policies").length === 0) {
    scaleDown["policies"] = [{ type: "Percent", value: 100, periodSeconds: 15 }];
  }
}

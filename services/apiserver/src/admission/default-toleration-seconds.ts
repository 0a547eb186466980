import type { AdmissionPlugin } from "../chain.ts";
import { podSpecDraft } from "./pod-draft.ts";

const tolerationSeconds = 300;
const keys = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] as const;

/** Pods stay for five minutes on a node that is not ready or cannot be reached, unless they say something about it themselves. */
export const defaultTolerationSeconds: AdmissionPlugin = {
  name: "DefaultTolerationSeconds",
  mutate(request) {
    const spec = podSpecDraft(request);
    if (spec === undefined || (request.operation !== "CREATE" && request.operation !== "UPDATE"))
      return;
    const own = spec.tolerations ?? [];
    const missing = keys.filter(
      (key) =>
        !own.some(
          (one) => (one.key === key || !one.key) && (one.effect === "NoExecute" || !one.effect),
        ),
    );
    if (missing.length === 0) return;
    spec.tolerations = [
      ...own,
      ...missing.map((key) => ({
        key,
        operator: "Exists",
        effect: "NoExecute",
        tolerationSeconds,
      })),
    ];
  },
};

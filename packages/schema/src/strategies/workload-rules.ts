import { ensureTree, setIfUnset, textAt, treeAt, type Tree } from "../tree.ts";
import type { KindRules } from "./create-strategy.ts";

/** Workloads whose spec is counted by metadata.generation and nothing else is special. */
export const generationRules: KindRules = { hasGeneration: true };

export const deploymentRules: KindRules = { hasGeneration: true, statusKeepsMetadata: ["labels"] };

export const jobRules: KindRules = { hasGeneration: true, prepareForCreate: generateJobSelector };

/** Unless the user manages selector and labels, a job selects its pods by its own uid. */
function generateJobSelector(job: Tree): void {
  const spec = ensureTree(job, "spec");
  if (spec["manualSelector"] === true) return;
  const uid = textAt(job, "metadata", "uid");
  const labels = ensureTree(ensureTree(ensureTree(spec, "template"), "metadata"), "labels");
  const name = textAt(job, "metadata", "name");
  setIfUnset(labels, "controller-uid", uid);
  setIfUnset(labels, "job-name", name);
  setIfUnset(labels, "batch.kubernetes.io/controller-uid", uid);
  setIfUnset(labels, "batch.kubernetes.io/job-name", name);
  const selector = ensureTree(spec, "selector");
  const matchLabels = ensureTree(selector, "matchLabels");
  if (treeAt(matchLabels)?.["batch.kubernetes.io/controller-uid"] === undefined) {
    matchLabels["batch.kubernetes.io/controller-uid"] = uid;
  }
}

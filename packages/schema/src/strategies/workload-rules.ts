import {
  ensureTree,
  isEmptyTree,
  sameValue,
  setIfUnset,
  textAt,
  textMapAt,
  treeAt,
  valueAt,
  type Tree,
} from "../tree.ts";
import type { KindRules } from "./create-strategy.ts";

/** Workloads whose spec is counted by metadata.generation and nothing else is special. */
export const generationRules: KindRules = { hasGeneration: true };

export const deploymentRules: KindRules = { hasGeneration: true, statusKeepsMetadata: ["labels"] };

const templateGeneration = "deprecated.daemonset.template.generation";

/** The annotation counts changes of the template; it stands for a field of the API's first versions. */
export const daemonSetRules: KindRules = {
  hasGeneration: true,
  prepareForCreate(daemonSet) {
    ensureTree(ensureTree(daemonSet, "metadata"), "annotations")[templateGeneration] = "1";
  },
  prepareForUpdate(daemonSet, old) {
    const before = Number(textMapAt(old, "metadata", "annotations")[templateGeneration] ?? 1);
    const isChanged = !sameValue(
      valueAt(daemonSet, "spec", "template"),
      valueAt(old, "spec", "template"),
    );
    ensureTree(ensureTree(daemonSet, "metadata"), "annotations")[templateGeneration] = String(
      isChanged ? before + 1 : before,
    );
  },
};

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
  // The template's labels are the default of the job's own, as reading the stored job again would show.
  const metadata = ensureTree(job, "metadata");
  if (isEmptyTree(metadata["labels"])) metadata["labels"] = { ...labels };
}

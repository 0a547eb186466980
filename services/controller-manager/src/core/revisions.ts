import { resources, type ApiClient, type Informer } from "@wherry/client";
import { controllerReference, hashPodTemplate, isAlreadyExists, isControlledBy, type ControllerRevision, type Json, type JsonObject, type KubeObject, type PodTemplateSpec } from "@wherry/machinery";
import type { PodOwner } from "./pod-control.ts";
import { ignoreGone } from "./replica-set.ts";

export const REVISION_LABEL = "controller-revision-hash";

export interface RevisionedOwner extends KubeObject {
  readonly spec: { readonly template: PodTemplateSpec; readonly revisionHistoryLimit?: number; readonly selector: { readonly matchLabels?: Readonly<Record<string, string>> } };
}

export interface CurrentRevision {
  /** Name of the ControllerRevision ("web-6b7f…"). */
  readonly name: string;
  /** Value of the pods' label. */
  readonly hash: string;
}

/** Keeps one ControllerRevision per template, numbered as they come into use; what no pod uses goes beyond the history limit, oldest first. */
export function createRevisions(api: ApiClient, informer: Informer<ControllerRevision>, type: PodOwner) {
  const ownedBy = (owner: RevisionedOwner): ControllerRevision[] => informer.store.list(owner.metadata.namespace).filter((one) => isControlledBy(one, owner)).sort((a, b) => a.revision - b.revision);
  return {
    async ensure(owner: RevisionedOwner): Promise<CurrentRevision> {
      const hash = hashPodTemplate(owner.spec.template as unknown as Json);
      const name = `${owner.metadata.name}-${hash}`;
      const owned = ownedBy(owner);
      const existing = owned.find((one) => one.metadata.name === name);
      const next = (owned.at(-1)?.revision ?? 0) + 1;
      if (existing !== undefined) {
        // An older template again (rollout undo): it becomes the newest.
        if (existing.revision !== next - 1) await api.update(resources.controllerRevisions, { ...existing, revision: next });
        return { name, hash };
      }
      const revision: ControllerRevision = {
        apiVersion: "apps/v1",
        kind: "ControllerRevision",
        metadata: { name, namespace: owner.metadata.namespace ?? "", labels: { ...owner.spec.selector.matchLabels, [REVISION_LABEL]: hash }, ownerReferences: [controllerReference(owner, type)] },
        data: { spec: { template: { ...(owner.spec.template as unknown as JsonObject), $patch: "replace" } } },
        revision: next,
      };
      try {
        await api.create(resources.controllerRevisions, revision);
      } catch (error) {
        // The cache was behind: it is there.
        if (!isAlreadyExists(error)) throw error;
      }
      return { name, hash };
    },
    async prune(owner: RevisionedOwner, hashesInUse: ReadonlySet<string>): Promise<void> {
      const idle = ownedBy(owner).filter((one) => !hashesInUse.has(one.metadata.labels?.[REVISION_LABEL] ?? ""));
      const surplus = idle.length - (owner.spec.revisionHistoryLimit ?? 10);
      for (const one of idle.slice(0, Math.max(0, surplus))) await api.delete(resources.controllerRevisions, one.metadata.name ?? "", one.metadata.namespace).catch(ignoreGone);
    },
  };
}

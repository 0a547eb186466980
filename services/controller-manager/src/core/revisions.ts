import { resources, type ApiClient, type Informer } from "@wherry/client";
import {
  canonicalJson,
  controllerReference,
  hashPodTemplate,
  isAlreadyExists,
  isControlledBy,
  type ControllerRevision,
  type Json,
  type JsonObject,
  type KubeObject,
  type LabelSelector,
  type PodTemplateSpec,
} from "@wherry/machinery";
import type { PodOwner } from "./pod-control.ts";
import { ignoreGone } from "./replica-set.ts";

export const REVISION_LABEL = "controller-revision-hash";

export interface RevisionedOwner extends KubeObject {
  readonly spec: {
    readonly template: PodTemplateSpec;
    readonly revisionHistoryLimit?: number;
    readonly selector: LabelSelector;
  };
  readonly status?: { readonly collisionCount?: number };
}

export interface CurrentRevision {
  /** Name of the ControllerRevision ("web-6b7f…"). */
  readonly name: string;
  /** Value of the pods' label. */
  readonly hash: string;
}

export interface Revisions {
  /**
   * The revision of the owner's template, made if there is none; an older one that is in use again becomes the newest. Undefined when another
   * template has the same hash: the owner's collisionCount must be raised, and the next try is salted.
   */
  ensure(owner: RevisionedOwner): Promise<CurrentRevision | undefined>;
  /** The revision of that name with its template, if the cache has it. */
  find(
    owner: RevisionedOwner,
    name: string,
  ): (CurrentRevision & { readonly template: PodTemplateSpec }) | undefined;
  /** Removes what is not in use (by label) nor named, beyond the history limit, oldest first. */
  prune(
    owner: RevisionedOwner,
    hashesInUse: ReadonlySet<string>,
    namesInUse: ReadonlySet<string>,
  ): Promise<void>;
}

/** Keeps one ControllerRevision per template, numbered as they come into use. */
export function createRevisions(
  api: ApiClient,
  informer: Informer<ControllerRevision>,
  type: PodOwner,
): Revisions {
  const ownedBy = (owner: RevisionedOwner): ControllerRevision[] =>
    informer.store
      .list(owner.metadata.namespace)
      .filter((one) => isControlledBy(one, owner))
      .sort((a, b) => a.revision - b.revision);
  return {
    async ensure(owner) {
      const data: JsonObject = {
        spec: {
          template: { ...(owner.spec.template as unknown as JsonObject), $patch: "replace" },
        },
      };
      const isSame = (one: ControllerRevision): boolean =>
        canonicalJson(one.data ?? {}) === canonicalJson(data);
      const owned = ownedBy(owner);
      const existing = owned.findLast(isSame);
      const newest = owned.at(-1)?.revision ?? 0;
      if (existing !== undefined) {
        if (existing.revision !== newest)
          await api.update(resources.controllerRevisions, { ...existing, revision: newest + 1 });
        return currentOf(existing);
      }
      const hash = hashPodTemplate(
        owner.spec.template as unknown as Json,
        owner.status?.collisionCount === 0 ? undefined : owner.status?.collisionCount,
      );
      const name = `${owner.metadata.name}-${hash}`;
      const namespace = owner.metadata.namespace ?? "";
      const revision: ControllerRevision = {
        apiVersion: "apps/v1",
        kind: "ControllerRevision",
        metadata: {
          name,
          namespace,
          labels: { ...owner.spec.template.metadata?.labels, [REVISION_LABEL]: hash },
          ownerReferences: [controllerReference(owner, type)],
        },
        data,
        revision: newest + 1,
      };
      try {
        await api.create(resources.controllerRevisions, revision);
      } catch (error) {
        if (!isAlreadyExists(error)) throw error;
        // Either the cache was behind, or the name is taken by something else.
        const present = await api.get<ControllerRevision>(
          resources.controllerRevisions,
          name,
          namespace,
        );
        if (!isControlledBy(present, owner) || !isSame(present)) return undefined;
      }
      return { name, hash };
    },
    find(owner, name) {
      const found = ownedBy(owner).find((one) => one.metadata.name === name);
      const template = templateOf(found?.data);
      return found === undefined || template === undefined
        ? undefined
        : { ...currentOf(found), template };
    },
    async prune(owner, hashesInUse, namesInUse) {
      const idle = ownedBy(owner).filter(
        (one) =>
          !hashesInUse.has(one.metadata.labels?.[REVISION_LABEL] ?? "") &&
          !namesInUse.has(one.metadata.name ?? ""),
      );
      const surplus = idle.length - (owner.spec.revisionHistoryLimit ?? 10);
      for (const one of idle.slice(0, Math.max(0, surplus)))
        await api
          .delete(resources.controllerRevisions, one.metadata.name ?? "", one.metadata.namespace)
          .catch(ignoreGone);
    },
  };
}

function currentOf(revision: ControllerRevision): CurrentRevision {
  return {
    name: revision.metadata.name ?? "",
    hash: revision.metadata.labels?.[REVISION_LABEL] ?? "",
  };
}

function templateOf(data: JsonObject | undefined): PodTemplateSpec | undefined {
  const template = (data as { readonly spec?: { readonly template?: JsonObject } } | undefined)
    ?.spec?.template;
  if (template === undefined) return undefined;
  const { $patch: _directive, ...rest } = template;
  return rest as unknown as PodTemplateSpec;
}

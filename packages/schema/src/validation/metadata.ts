import type { StatusCause } from "@wherry/machinery";
import type { Tree } from "../tree.ts";

export interface KindIdentity {
  readonly group: string;
  readonly kind: string;
  readonly namespaced: boolean;
}

export function validateMetadata(_object: Tree, _kind: KindIdentity): readonly StatusCause[] {
  return [];
}

export function validateMetadataUpdate(_object: Tree, _old: Tree, _kind: KindIdentity): readonly StatusCause[] {
  return [];
}

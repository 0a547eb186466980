import { MachineryError } from "./machinery-error.ts";

export interface GroupVersion {
  readonly group: string;
  readonly version: string;
}

/** `v1` is the core group, `apps/v1` a named one. */
export function parseGroupVersion(text: string): GroupVersion {
  const parts = text.split("/");
  if (parts.length === 1) return { group: "", version: parts[0] ?? "" };
  if (parts.length === 2) return { group: parts[0] ?? "", version: parts[1] ?? "" };
  throw new MachineryError("badValue", `unexpected GroupVersion string: ${text}`);
}

export function formatGroupVersion(groupVersion: GroupVersion): string {
  return groupVersion.group === ""
    ? groupVersion.version
    : `${groupVersion.group}/${groupVersion.version}`;
}

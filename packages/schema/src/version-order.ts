const pattern = /^v(\d+)(?:(alpha|beta)(\d+))?$/;
const stability: Readonly<Record<string, number>> = { "": 2, beta: 1, alpha: 0 };

/** Kubernetes' order of versions, the most stable and newest first: v2, v1, v1beta2, v1alpha1, then others by name. */
export function compareVersions(left: string, right: string): number {
  const a = pattern.exec(left);
  const b = pattern.exec(right);
  if (a === null || b === null) {
    if (a !== null) return -1;
    if (b !== null) return 1;
    return left < right ? -1 : left > right ? 1 : 0;
  }
  return (
    (stability[b[2] ?? ""] ?? 0) - (stability[a[2] ?? ""] ?? 0) ||
    Number(b[1]) - Number(a[1]) ||
    Number(b[3] ?? 0) - Number(a[3] ?? 0)
  );
}

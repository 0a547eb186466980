/** Resources whose place in the store does not follow from their name, for reasons of history. */
const special: Readonly<Record<string, string>> = {
  "/replicationcontrollers": "controllers",
  "/endpoints": "services/endpoints",
  "/nodes": "minions",
  "/services": "services/specs",
  "networking.k8s.io/ingresses": "ingress",
};

/** Groups of the extension servers, which put their group in front as custom resources do. */
const groupFirst = new Set(["apiextensions.k8s.io", "apiregistration.k8s.io"]);

/** Path below "/registry/" at which a built-in resource's objects lie, as an existing cluster has them. */
export function storagePrefixOf(group: string, resource: string): string {
  const known = special[`${group}/${resource}`];
  if (known !== undefined) return known;
  return groupFirst.has(group) ? `${group}/${resource}` : resource;
}

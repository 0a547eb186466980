/** Resources whose use is answered with a warning, as upstream words it. */
const warnings: Readonly<Record<string, string>> = {
  "/v1/componentstatuses": "v1 ComponentStatus is deprecated in v1.19+",
  "/v1/endpoints": "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
};

export function deprecationWarning(
  group: string,
  version: string,
  resource: string,
): string | undefined {
  return warnings[`${group}/${version}/${resource}`];
}

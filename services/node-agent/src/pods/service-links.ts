import type { Service } from "@wherry/machinery";

/**
 * Environment variables that tell a container of the services of its namespace (and of the API server), as Docker links did. With
 * `links` false only the API server's remain.
 */
export function serviceEnvironment(
  services: readonly Service[],
  namespace: string,
  links: boolean,
): ReadonlyMap<string, string> {
  const chosen = new Map<string, Service>();
  for (const service of services) {
    const own = service.metadata.namespace ?? "";
    const name = service.metadata.name ?? "";
    const isMaster = own === "default" && name === "kubernetes";
    const address = service.spec?.clusterIP ?? "";
    if (address === "" || address === "None") continue;
    if (own === namespace && (links || isMaster)) chosen.set(name, service);
    else if (isMaster && !chosen.has(name)) chosen.set(name, service);
  }
  const variables = new Map<string, string>();
  for (const service of [...chosen.values()].toSorted((a, b) =>
    (a.metadata.name ?? "") < (b.metadata.name ?? "") ? -1 : 1,
  ))
    addService(variables, service);
  return variables;
}

function addService(variables: Map<string, string>, service: Service): void {
  const address = service.spec?.clusterIP ?? "";
  const ports = service.spec?.ports ?? [];
  const first = ports[0];
  const prefix = variableName(service.metadata.name ?? "");
  variables.set(`${prefix}_SERVICE_HOST`, address);
  if (first === undefined) return;
  variables.set(`${prefix}_SERVICE_PORT`, String(first.port));
  for (const port of ports) {
    if (port.name !== undefined && port.name !== "")
      variables.set(`${prefix}_SERVICE_PORT_${variableName(port.name)}`, String(port.port));
  }
  const host = address.includes(":") ? `[${address}]` : address;
  ports.forEach((port, index) => {
    const protocol = port.protocol ?? "TCP";
    const url = `${protocol.toLowerCase()}://${host}:${port.port}`;
    const portPrefix = `${prefix}_PORT_${port.port}_${protocol.toUpperCase()}`;
    if (index === 0) variables.set(`${prefix}_PORT`, url);
    variables.set(portPrefix, url);
    variables.set(`${portPrefix}_PROTO`, protocol.toLowerCase());
    variables.set(`${portPrefix}_PORT`, String(port.port));
    variables.set(`${portPrefix}_ADDR`, address);
  });
}

function variableName(name: string): string {
  return name.replaceAll("-", "_").toUpperCase();
}

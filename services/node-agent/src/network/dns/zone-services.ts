import type { EndpointSlice, Node, Service } from "@wherry/machinery";
import { isAddress } from "./address-text.ts";
import { foldName, isEncodableName } from "./dns-name.ts";
import type { ZoneEndpoint, ZoneHost, ZonePort, ZoneService } from "./zone-entry.ts";

/** What DNS says of a service (Kubernetes' DNS specification 1.1.0); undefined when it has no name there. */
export function zoneService(
  service: Service,
  slices: readonly EndpointSlice[],
): ZoneService | undefined {
  const key = `${service.metadata.namespace}/${service.metadata.name}`;
  const spec = service.spec;
  if (spec.type === "ExternalName") {
    const target = (spec.externalName ?? "").replace(/\.$/, "");
    return target !== "" && isEncodableName(target) ? { key, kind: "external", target } : undefined;
  }
  const addresses = (spec.clusterIPs ?? [spec.clusterIP ?? ""]).filter(
    (ip) => ip !== "" && ip !== "None",
  );
  if (addresses.length > 0)
    return {
      key,
      kind: "cluster",
      addresses,
      ports: (spec.ports ?? []).map((port) => zonePort(port.name, port.protocol, port.port)),
    };
  if (spec.clusterIP !== "None") return undefined;
  const groups = slices.flatMap((slice) => {
    if (slice.addressType === "FQDN") return [];
    const endpoints = (slice.endpoints ?? []).flatMap((endpoint): ZoneEndpoint[] => {
      const address = endpoint.addresses[0];
      if (address === undefined || endpoint.conditions?.ready === false || !isAddress(address))
        return [];
      return [{ host: foldName(endpoint.hostname ?? dashed(address)), address }];
    });
    if (endpoints.length === 0) return [];
    return [
      {
        ports: (slice.ports ?? []).flatMap((port) =>
          port.port === undefined ? [] : [zonePort(port.name, port.protocol, port.port)],
        ),
        endpoints,
      },
    ];
  });
  return { key, kind: "headless", groups };
}

/** A node as DNS knows it: its internal and external addresses under its name. */
export function zoneHost(node: Node): ZoneHost | undefined {
  const name = node.metadata.name;
  const addresses = (node.status?.addresses ?? [])
    .filter(
      ({ type, address }) => (type === "InternalIP" || type === "ExternalIP") && isAddress(address),
    )
    .map(({ address }) => address);
  return name === undefined || addresses.length === 0
    ? undefined
    : { name: foldName(name), addresses: [...new Set(addresses)] };
}

function zonePort(name: string | undefined, protocol: string | undefined, port: number): ZonePort {
  return { name: name ?? "", protocol: (protocol ?? "TCP").toLowerCase(), port };
}

function dashed(address: string): string {
  return address.replaceAll(/[.:]/g, "-");
}

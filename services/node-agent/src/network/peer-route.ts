import { cidrContains, parseCidr, type Route } from "@wherry/net";

/** A route through a gateway to a block of the cluster: the overlay's or host-gw's way to another node's pods. */
export function isPeerRoute(route: Route, clusterCidr: string): boolean {
  if (
    route.gateway === undefined ||
    route.destination === "default" ||
    !route.destination.includes("/")
  )
    return false;
  const destination = parseCidr(route.destination);
  const cluster = parseCidr(clusterCidr);
  return (
    destination.prefix > cluster.prefix &&
    cidrContains(cluster, { family: destination.family, value: destination.base })
  );
}

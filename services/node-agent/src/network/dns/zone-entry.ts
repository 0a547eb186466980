/**
 * What the DNS process knows of the cluster, in the small form in which it travels over its socket. The agent makes these from API objects;
 * the process answers from them.
 */
export interface ZonePort {
  /** "" when the port has no name; it then has no SRV name of its own. */
  readonly name: string;
  /** Lower case: "tcp". */
  readonly protocol: string;
  readonly port: number;
}

export interface ZoneEndpoint {
  /** The endpoint's host name, or its address with dashes. */
  readonly host: string;
  readonly address: string;
}

/** One service. `key` is "namespace/name". */
export type ZoneService =
  | {
      readonly key: string;
      readonly kind: "cluster";
      readonly addresses: readonly string[];
      readonly ports: readonly ZonePort[];
    }
  /** Endpoints of one EndpointSlice share its ports. */
  | {
      readonly key: string;
      readonly kind: "headless";
      readonly groups: readonly {
        readonly ports: readonly ZonePort[];
        readonly endpoints: readonly ZoneEndpoint[];
      }[];
    }
  | { readonly key: string; readonly kind: "external"; readonly target: string };

/** A node's name and its addresses. */
export interface ZoneHost {
  readonly name: string;
  readonly addresses: readonly string[];
}

export interface ZoneSettings {
  /** "cluster.local" */
  readonly domain: string;
  /** The cluster DNS' own address. */
  readonly address: string;
  /** Reverse names of these blocks are the cluster's. */
  readonly clusterCidrs: readonly string[];
}

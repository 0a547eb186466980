import type { KubeObject } from "@wherry/machinery";
import { familyOf } from "../allocators/service-families.ts";

export interface ClusterObjectOptions {
  /** First address of the service range. */
  readonly serviceIp: string;
  readonly serviceCidrs: readonly string[];
  /** Where pods and other machines reach this API server. */
  readonly advertiseAddress: string;
  readonly advertisePort: number;
  readonly clientCa?: string;
  readonly requestHeader?: {
    readonly requestHeaderCa: string;
    readonly allowedNames: readonly string[];
    readonly usernameHeaders: readonly string[];
    readonly uidHeaders: readonly string[];
    readonly groupHeaders: readonly string[];
    readonly extraHeaderPrefixes: readonly string[];
  };
}

export const systemNamespaces = [
  "kube-system",
  "kube-public",
  "kube-node-lease",
  "default",
] as const;

export function namespaceObject(name: string): KubeObject {
  return object("v1", "Namespace", { metadata: { name } });
}

export const priorityClassObjects: readonly KubeObject[] = [
  object("scheduling.k8s.io/v1", "PriorityClass", {
    metadata: { name: "system-node-critical" },
    value: 2_000_001_000,
    description: "Used for system critical pods that must not be moved from their current node.",
  }),
  object("scheduling.k8s.io/v1", "PriorityClass", {
    metadata: { name: "system-cluster-critical" },
    value: 2_000_000_000,
    description:
      "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
  }),
];

/** The service `kubernetes`, through which pods reach the API. */
export function kubernetesService({ serviceIp, advertisePort }: ClusterObjectOptions): KubeObject {
  return object("v1", "Service", {
    metadata: {
      name: "kubernetes",
      namespace: "default",
      labels: { component: "apiserver", provider: "kubernetes" },
    },
    spec: {
      type: "ClusterIP",
      clusterIP: serviceIp,
      clusterIPs: [serviceIp],
      ipFamilies: [familyOf(serviceIp)],
      ipFamilyPolicy: "SingleStack",
      sessionAffinity: "None",
      ports: [{ name: "https", protocol: "TCP", port: 443, targetPort: advertisePort }],
    },
  });
}

export function kubernetesEndpoints(addresses: readonly string[], port: number): KubeObject {
  return object("v1", "Endpoints", {
    metadata: {
      name: "kubernetes",
      namespace: "default",
      labels: { "endpointslice.kubernetes.io/skip-mirror": "true" },
    },
    subsets: [
      {
        addresses: addresses.map((ip) => ({ ip })),
        ports: [{ name: "https", port, protocol: "TCP" }],
      },
    ],
  });
}

export function kubernetesEndpointSlice(addresses: readonly string[], port: number): KubeObject {
  return object("discovery.k8s.io/v1", "EndpointSlice", {
    metadata: {
      name: "kubernetes",
      namespace: "default",
      labels: { "kubernetes.io/service-name": "kubernetes" },
    },
    addressType: familyOf(addresses[0] ?? ""),
    endpoints: addresses.map((ip) => ({ addresses: [ip], conditions: { ready: true } })),
    ports: [{ name: "https", port, protocol: "TCP" }],
  });
}

/** What extension API servers read to recognise us and our clients. */
export function extensionAuthentication({
  clientCa,
  requestHeader,
}: ClusterObjectOptions): KubeObject {
  const headers =
    requestHeader === undefined
      ? {}
      : {
          "requestheader-allowed-names": JSON.stringify(requestHeader.allowedNames),
          "requestheader-client-ca-file": requestHeader.requestHeaderCa,
          "requestheader-extra-headers-prefix": JSON.stringify(requestHeader.extraHeaderPrefixes),
          "requestheader-group-headers": JSON.stringify(requestHeader.groupHeaders),
          "requestheader-uid-headers": JSON.stringify(requestHeader.uidHeaders),
          "requestheader-username-headers": JSON.stringify(requestHeader.usernameHeaders),
        };
  return object("v1", "ConfigMap", {
    metadata: { name: "extension-apiserver-authentication", namespace: "kube-system" },
    data: { ...(clientCa === undefined ? {} : { "client-ca-file": clientCa }), ...headers },
  });
}

export function serviceCidrObject({ serviceCidrs }: ClusterObjectOptions): KubeObject {
  return object("networking.k8s.io/v1", "ServiceCIDR", {
    metadata: { name: "kubernetes" },
    spec: { cidrs: serviceCidrs },
  });
}

function object(
  apiVersion: string,
  kind: string,
  rest: { readonly metadata: KubeObject["metadata"] } & Readonly<Record<string, unknown>>,
): KubeObject {
  return { apiVersion, kind, ...rest };
}

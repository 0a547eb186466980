import type { Duplex } from "node:stream";
import { newBadRequest, newServiceUnavailable, type KubeObject } from "@wherry/machinery";
import type { NodeDialer } from "@wherry/net";
import { resourceIds } from "../auth/resource-ids.ts";
import type { ObjectStore } from "../object-store.ts";
import type { ConnectRequest, ConnectSubresource } from "../subresource-handler.ts";
import {
  copyBody,
  dialBackend,
  headersForBackend,
  openRequest,
  type Backend,
} from "./node-http.ts";
import type { OpenConnections } from "./open-connections.ts";
import type { RunningPod } from "./pod-location.ts";
import { relayUpgrade } from "./upgrade-relay.ts";

export interface ProxyDependencies {
  readonly store: Pick<ObjectStore, "get" | "list">;
  readonly dialer: NodeDialer;
  readonly random: () => number;
  readonly open: OpenConnections;
}

interface Target {
  readonly scheme: "http" | "https";
  readonly name: string;
  readonly port: string;
}

const methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] as const;
const kubeletPort = "10250";
/** Headers of an answer that concern one connection only. */
const hopHeaders = /^(connection|keep-alive|proxy-.*|te|trailer|transfer-encoding|upgrade)$/;

/** …/proxy of nodes, pods and services: plain HTTP through the API server to whatever listens there. */
export function createProxyHandlers(
  dependencies: ProxyDependencies,
): readonly ConnectSubresource[] {
  const handlerOf = (
    resource: string,
    backendOf: (
      dependencies: ProxyDependencies,
      request: ConnectRequest,
      target: Target,
    ) => Promise<Backend>,
  ): ConnectSubresource => ({
    type: "connect",
    group: "",
    resource,
    subresource: "proxy",
    methods,
    takesPath: true,
    async connect(request) {
      if (redirectToRoot(request)) return;
      const backend = await backendOf(dependencies, request, parseTarget(request.name));
      if (request.exchange.upgrade !== undefined)
        await relayUpgrade(request.exchange, backend, dependencies.open);
      else await relay(request, backend);
    },
  });
  return [
    handlerOf("nodes", nodeBackend),
    handlerOf("pods", podBackend),
    handlerOf("services", serviceBackend),
  ];
}

/** Relative links in what is served only work below a path that ends in a slash. */
function redirectToRoot({ exchange, path }: ConnectRequest): boolean {
  if (
    path !== "" ||
    exchange.upgrade !== undefined ||
    (exchange.method !== "GET" && exchange.method !== "HEAD")
  )
    return false;
  const question = exchange.url.indexOf("?");
  const [bare, query] =
    question < 0
      ? [exchange.url, ""]
      : [exchange.url.slice(0, question), exchange.url.slice(question)];
  exchange.send(301, { location: `${bare}/${query}` }, []);
  return true;
}

async function relay({ exchange, signal }: ConnectRequest, backend: Backend): Promise<void> {
  const connection = await dialBackend(backend, signal);
  const headers = [...headersForBackend(exchange, backend.host, false), "Connection", "close"];
  const { request, response } = openRequest(
    connection,
    exchange.method,
    backend.path,
    headers,
    signal,
  );
  const sent = sendBody(
    exchange.method === "GET" || exchange.method === "HEAD" ? [] : exchange.bodyStream(),
    request,
  );
  sent.catch((error: unknown) =>
    request.destroy(error instanceof Error ? error : new Error(String(error))),
  );
  const answer = await response.catch((error: unknown) => {
    throw newServiceUnavailable(
      `error trying to reach service: ${error instanceof Error ? error.message : String(error)}`,
    );
  });
  const kept: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(answer.headers)) {
    if (value !== undefined && !hopHeaders.test(name)) kept[name] = value;
  }
  await copyBody(answer, exchange.startStream(answer.statusCode ?? 502, kept));
}

async function sendBody(
  body: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  request: NodeJS.WritableStream & { end(): unknown },
): Promise<void> {
  for await (const chunk of body) {
    if (!request.write(chunk)) await new Promise<void>((resolve) => request.once("drain", resolve));
  }
  request.end();
}

/** `name`, `name:port` or `scheme:name:port`. */
function parseTarget(text: string): Target {
  const parts = text.split(":");
  const [first = "", second = "", third = ""] = parts;
  if (parts.length === 3 && (first === "http" || first === "https" || first === ""))
    return { scheme: first === "https" ? "https" : "http", name: second, port: third };
  if (parts.length > 2)
    throw newBadRequest(
      `invalid request ${JSON.stringify(text)}: expected name, name:port or scheme:name:port`,
    );
  return { scheme: "http", name: first, port: second };
}

function pathAndQuery({ info, path }: ConnectRequest): string {
  const query = info.query.toString();
  return `${path === "" ? "/" : path}${query === "" ? "" : `?${query}`}`;
}

async function nodeBackend(
  { store, dialer }: ProxyDependencies,
  request: ConnectRequest,
  target: Target,
): Promise<Backend> {
  const node = await store.get<
    KubeObject & {
      readonly status?: {
        readonly addresses?: readonly { readonly type?: string; readonly address?: string }[];
        readonly daemonEndpoints?: { readonly kubeletEndpoint?: { readonly Port?: number } };
      };
    }
  >(resourceIds.nodes, "", target.name, { signal: request.signal });
  const path = pathAndQuery(request);
  const kubelet = String(node.status?.daemonEndpoints?.kubeletEndpoint?.Port ?? kubeletPort);
  if (target.port === "" || target.port === kubelet || target.port === kubeletPort) {
    return { dial: (signal) => dialer.dialKubelet(target.name, signal), host: target.name, path };
  }
  const address = node.status?.addresses?.find(({ type }) => type === "InternalIP")?.address;
  if (address === undefined)
    throw newServiceUnavailable(`node ${JSON.stringify(target.name)} has no address`);
  return addressBackend(dialer, target.name, target.scheme, address, portNumber(target.port), path);
}

async function podBackend(
  { store, dialer }: ProxyDependencies,
  request: ConnectRequest,
  target: Target,
): Promise<Backend> {
  const pod = await store.get<RunningPod>(resourceIds.pods, request.namespace, target.name, {
    signal: request.signal,
  });
  const address = pod.status?.podIP;
  const node = pod.spec?.nodeName;
  if (!address || !node) throw newBadRequest("address not allowed");
  const declared = pod.spec?.containers?.flatMap((container) => container.ports ?? [])[0]
    ?.containerPort;
  const port =
    target.port === ""
      ? (declared ?? (target.scheme === "https" ? 443 : 80))
      : portNumber(target.port);
  return addressBackend(dialer, node, target.scheme, address, port, pathAndQuery(request));
}

interface Service extends KubeObject {
  readonly spec?: {
    readonly ports?: readonly { readonly name?: string; readonly port?: number }[];
  };
}

interface EndpointSlice extends KubeObject {
  readonly endpoints?: readonly {
    readonly addresses?: readonly string[];
    readonly nodeName?: string;
    readonly conditions?: { readonly ready?: boolean };
  }[];
  readonly ports?: readonly { readonly name?: string; readonly port?: number }[];
}

async function serviceBackend(
  { store, dialer, random }: ProxyDependencies,
  request: ConnectRequest,
  target: Target,
): Promise<Backend> {
  const service = await store.get<Service>(resourceIds.services, request.namespace, target.name, {
    signal: request.signal,
  });
  const portName = servicePortName(service, target);
  const slices = (
    await store.list<EndpointSlice>(resourceIds.endpointSlices, request.namespace, {
      signal: request.signal,
    })
  ).filter((slice) => slice.metadata.labels?.["kubernetes.io/service-name"] === target.name);
  const candidates = slices.flatMap((slice) => {
    const port = (slice.ports ?? []).find((one) => (one.name ?? "") === portName)?.port;
    if (port === undefined) return [];
    return (slice.endpoints ?? []).flatMap(({ addresses = [], nodeName, conditions }) =>
      nodeName === undefined || addresses[0] === undefined || conditions?.ready === false
        ? []
        : [{ address: addresses[0], nodeName, port }],
    );
  });
  const chosen = candidates[Math.floor(random() * candidates.length)];
  if (chosen === undefined)
    throw newServiceUnavailable(
      `no endpoints available for service ${JSON.stringify(target.name)}`,
    );
  return addressBackend(
    dialer,
    chosen.nodeName,
    target.scheme,
    chosen.address,
    chosen.port,
    pathAndQuery(request),
  );
}

function servicePortName(service: Service, target: Target): string {
  const ports = service.spec?.ports ?? [];
  const found =
    target.port === ""
      ? ports.length === 1
        ? ports[0]
        : ports.find((port) => !port.name)
      : ports.find((port) => port.name === target.port || String(port.port) === target.port);
  if (found === undefined)
    throw newServiceUnavailable(
      `no service port ${JSON.stringify(target.port)} found for service ${JSON.stringify(target.name)}`,
    );
  return found.name ?? "";
}

function portNumber(text: string): number {
  const port = Number(text);
  if (!Number.isInteger(port) || port < 1 || port > 65_535)
    throw newBadRequest(`invalid port ${JSON.stringify(text)}`);
  return port;
}

function addressBackend(
  dialer: NodeDialer,
  node: string,
  scheme: "http" | "https",
  address: string,
  port: number,
  path: string,
): Backend {
  const host = address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
  const dial = async (signal: AbortSignal): Promise<Duplex> => {
    const connection = await dialer.dialFromNode(node, address, port, signal);
    return scheme === "https" ? secure(connection) : connection;
  };
  return { dial, host, path };
}

/** Workloads' certificates are their own affair: upstream's proxy does not verify them either. */
async function secure(connection: Duplex): Promise<Duplex> {
  const { connect } = await import("node:tls");
  return new Promise((resolve, reject) => {
    const socket = connect({ socket: connection, rejectUnauthorized: false });
    socket.once("secureConnect", () => {
      socket.off("error", reject);
      resolve(socket);
    });
    socket.once("error", reject);
  });
}

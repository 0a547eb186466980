import { newBadRequest, type KubeObject } from "@wherry/machinery";

interface Named {
  readonly name?: string;
}

export interface RunningPod extends KubeObject {
  readonly spec?: {
    readonly nodeName?: string;
    readonly containers?: readonly (Named & {
      readonly ports?: readonly { readonly containerPort?: number }[];
    })[];
    readonly initContainers?: readonly Named[];
    readonly ephemeralContainers?: readonly Named[];
  };
  readonly status?: { readonly podIP?: string; readonly phase?: string };
}

/** The container that a request means: the one named, or the pod's only one. */
export function chooseContainer(pod: RunningPod, wanted: string): string {
  const name = pod.metadata.name ?? "";
  const { containers = [], initContainers = [], ephemeralContainers = [] } = pod.spec ?? {};
  if (wanted !== "") {
    const known = [...containers, ...initContainers, ...ephemeralContainers].some(
      (container) => container.name === wanted,
    );
    if (!known) throw newBadRequest(`container ${wanted} is not valid for pod ${name}`);
    return wanted;
  }
  const only = containers.length === 1 ? containers[0]?.name : undefined;
  if (only !== undefined) return only;
  if (containers.length === 0)
    throw newBadRequest(`a container name must be specified for pod ${name}`);
  const list = (named: readonly Named[]): string =>
    `[${named.map((container) => container.name ?? "").join(" ")}]`;
  const initText =
    initContainers.length === 0 ? "" : ` or one of the init containers: ${list(initContainers)}`;
  throw newBadRequest(
    `a container name must be specified for pod ${name}, choose one of: ${list(containers)}${initText}`,
  );
}

export function nodeOf(pod: RunningPod): string {
  const node = pod.spec?.nodeName ?? "";
  if (node === "")
    throw newBadRequest(`pod ${pod.metadata.name ?? ""} does not have a host assigned`);
  return node;
}

/** A path of the kubelet API with its parts escaped. */
export function kubeletPath(parts: readonly string[], query: URLSearchParams): string {
  const text = query.toString();
  return `/${parts.map(encodeURIComponent).join("/")}${text === "" ? "" : `?${text}`}`;
}

import { KubeletHttpError } from "./kubelet-http-error.ts";

export interface ContainerTarget {
  readonly namespace: string;
  readonly pod: string;
  readonly uid: string | undefined;
  readonly container: string;
}

export interface PodTarget {
  readonly namespace: string;
  readonly pod: string;
  readonly uid: string | undefined;
}

export type KubeletRoute =
  | { readonly kind: "containerLogs"; readonly target: ContainerTarget }
  | { readonly kind: "exec" | "attach" | "run"; readonly target: ContainerTarget }
  | { readonly kind: "portForward"; readonly target: PodTarget }
  | { readonly kind: "healthz" | "pods" | "metrics" | "resourceMetrics" | "statsSummary" };

const FIXED: Readonly<
  Record<string, "healthz" | "pods" | "metrics" | "resourceMetrics" | "statsSummary">
> = {
  "/healthz": "healthz",
  "/healthz/ping": "healthz",
  "/healthz/log": "healthz",
  "/healthz/syncloop": "healthz",
  "/pods": "pods",
  "/pods/": "pods",
  "/metrics": "metrics",
  "/metrics/resource": "resourceMetrics",
  "/stats/summary": "statsSummary",
};

/** Which of the kubelet's paths this is: `/exec/{namespace}/{pod}[/{uid}]/{container}` and so on. */
export function parseKubeletRoute(path: string): KubeletRoute {
  const fixed = FIXED[path];
  if (fixed !== undefined) return { kind: fixed };
  const [kind = "", ...segments] = path.slice(1).split("/").map(decode);
  switch (kind) {
    case "containerLogs":
      return { kind, target: containerTarget(segments, path) };
    case "exec":
    case "attach":
    case "run":
      return { kind, target: containerTarget(segments, path) };
    case "portForward": {
      const [namespace, pod, uid] = segments;
      if (namespace === undefined || pod === undefined || segments.length > 3) throw notFound(path);
      return { kind, target: { namespace, pod, uid } };
    }
    default:
      throw notFound(path);
  }
}

function containerTarget(segments: readonly string[], path: string): ContainerTarget {
  const [namespace, pod, third, fourth] = segments;
  if (namespace === undefined || pod === undefined || third === undefined || segments.length > 4)
    throw notFound(path);
  return fourth === undefined
    ? { namespace, pod, uid: undefined, container: third }
    : { namespace, pod, uid: third, container: fourth };
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    throw new KubeletHttpError(400, `invalid path segment ${JSON.stringify(segment)}\n`);
  }
}

function notFound(path: string): KubeletHttpError {
  return new KubeletHttpError(404, `404: Page Not Found: ${path}\n`);
}

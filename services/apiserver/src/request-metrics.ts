/** The stable request metrics of kube-apiserver, by name and label. */
import type { MetricsRegistry } from "@wherry/service-kit";
import type { RequestInfo } from "./chain.ts";

const durationBuckets = [
  0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45,
  60,
];
const labelNames = [
  "verb",
  "dry_run",
  "group",
  "version",
  "resource",
  "subresource",
  "scope",
  "component",
];

export type RequestMetrics = ReturnType<typeof createRequestMetrics>;

export function createRequestMetrics(metrics: MetricsRegistry) {
  const total = metrics.counter({
    name: "apiserver_request_total",
    help: "Counter of apiserver requests broken out for each verb, dry run value, group, version, resource, scope, component, and HTTP response code.",
    labelNames: [...labelNames, "code"],
  });
  const duration = metrics.histogram({
    name: "apiserver_request_duration_seconds",
    help: "Response latency distribution in seconds for each verb, dry run value, group, version, resource, subresource, scope and component.",
    labelNames,
    buckets: durationBuckets,
  });
  return {
    inflight: metrics.gauge({
      name: "apiserver_current_inflight_requests",
      help: "Maximal number of currently used inflight request limit of this apiserver per request kind in last second.",
      labelNames: ["request_kind"],
    }),
    longRunning: metrics.gauge({
      name: "apiserver_longrunning_requests",
      help: "Gauge of all active long-running apiserver requests broken out by verb, group, version and resource.",
      labelNames: ["verb", "group", "version", "resource"],
    }),
    watchEvents: metrics.counter({
      name: "apiserver_watch_events_total",
      help: "Number of events sent in watch clients",
      labelNames: ["group", "version", "kind"],
    }),
    terminated: metrics.counter({
      name: "apiserver_request_terminations_total",
      help: "Number of requests which apiserver terminated in self-defense.",
      labelNames: ["component", "code", "verb"],
    }),
    /** `seconds` undefined = a request whose length says nothing (watches and streams). */
    observe(info: RequestInfo, method: string, code: number, seconds: number | undefined): void {
      const labels = {
        verb: metricVerb(info, method),
        dry_run: info.query.has("dryRun") ? "All" : "",
        group: info.apiGroup,
        version: info.apiVersion,
        resource: info.resource,
        subresource: info.isResourceRequest ? info.subresource : knownPath(info.path),
        scope: scopeOf(info),
        component: "apiserver",
      };
      total.increment({ ...labels, code: String(code) });
      if (seconds !== undefined) duration.observe(seconds, labels);
    },
  };
}

const methods = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]);

export function metricVerb(info: RequestInfo, method: string): string {
  if (info.verb === "list" || info.verb === "watch" || info.verb === "deletecollection")
    return info.verb.toUpperCase();
  return methods.has(method) ? method : "other";
}

function scopeOf(info: RequestInfo): string {
  if (!info.isResourceRequest) return "";
  if (info.name !== "" || info.verb === "create") return "resource";
  return info.namespace === "" ? "cluster" : "namespace";
}

/** Only paths of our own become a label; anything else is one value, or clients could make label values without end. */
function knownPath(path: string): string {
  const first = path.split("/", 2)[1] ?? "";
  return ["livez", "readyz", "healthz", "metrics", "version", "openapi"].includes(first)
    ? `/${first}`
    : "";
}

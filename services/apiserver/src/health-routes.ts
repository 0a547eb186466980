/** /livez, /readyz and /healthz: named checks, one by one (`/readyz/etcd`) or together (`?verbose`, `?exclude=NAME`), as upstream prints them. */
import { sendText } from "./answer.ts";
import type { PathHandler, PathRoute } from "./path-routes.ts";

export interface HealthCheck {
  readonly name: string;
  /** undefined = healthy; otherwise why not, for the log. Synchronous and without I/O. */
  check(): string | undefined;
}

export interface HealthOptions {
  readonly live: readonly HealthCheck[];
  readonly ready: readonly HealthCheck[];
  readonly onFailure: (path: string, failures: readonly string[]) => void;
}

export function createHealthRoutes({
  live,
  ready,
  onFailure,
}: HealthOptions): readonly PathRoute[] {
  return [
    ...routesOf("livez", live, onFailure),
    ...routesOf("readyz", ready, onFailure),
    ...routesOf("healthz", live, onFailure),
  ];
}

function routesOf(
  endpoint: string,
  checks: readonly HealthCheck[],
  onFailure: HealthOptions["onFailure"],
): readonly PathRoute[] {
  return [
    { path: `/${endpoint}`, handler: combined(endpoint, checks, onFailure) },
    ...checks.map(({ name, check }): PathRoute => ({
      path: `/${endpoint}/${name}`,
      handler: ({ exchange }) => single(exchange, name, check()),
    })),
  ];
}

function single(
  exchange: Parameters<PathHandler>[0]["exchange"],
  name: string,
  failure: string | undefined,
): void {
  if (failure === undefined) sendText(exchange, 200, "ok");
  else sendText(exchange, 500, `internal server error: ${name} failed\n`);
}

function combined(
  endpoint: string,
  checks: readonly HealthCheck[],
  onFailure: HealthOptions["onFailure"],
): PathHandler {
  return ({ exchange, info }) => {
    const excluded = new Set(
      info.query
        .getAll("exclude")
        .flatMap((value) => value.split(","))
        .filter((value) => value !== ""),
    );
    const lines: string[] = [];
    const failures: string[] = [];
    for (const { name, check } of checks) {
      if (excluded.delete(name)) {
        lines.push(`[+]${name} excluded: ok\n`);
        continue;
      }
      const failure = check();
      if (failure === undefined) lines.push(`[+]${name} ok\n`);
      else {
        failures.push(`${name}: ${failure}`);
        lines.push(`[-]${name} failed: reason withheld\n`);
      }
    }
    if (excluded.size > 0) {
      const names = [...excluded]
        .sort()
        .map((name) => JSON.stringify(name))
        .join(",");
      lines.push(`warn: some health checks cannot be excluded: no matches for ${names}\n`);
    }
    if (failures.length > 0) {
      onFailure(`/${endpoint}`, failures);
      return sendText(exchange, 500, `${lines.join("")}${endpoint} check failed\n`);
    }
    if (!info.query.has("verbose")) return sendText(exchange, 200, "ok");
    return sendText(exchange, 200, `${lines.join("")}${endpoint} check passed\n`);
  };
}

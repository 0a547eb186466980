/** Requests for paths that are no resources: health, metrics, version, discovery, OpenAPI. */
import type { UserInfo } from "@wherry/machinery";
import type { RequestInfo } from "./chain.ts";
import type { Exchange } from "./exchange.ts";

export interface PathRequest {
  readonly exchange: Exchange;
  readonly info: RequestInfo;
  readonly user: UserInfo;
}

export type PathHandler = (request: PathRequest) => Promise<void> | void;

export interface PathRoute {
  /** Exact, or a prefix when it ends in "/". A trailing slash of the request does not matter for exact paths. */
  readonly path: string;
  readonly handler: PathHandler;
  /** Shown by `GET /`; default true. */
  readonly listed?: boolean;
}

export interface PathRoutes {
  find(path: string): PathHandler | undefined;
  readonly paths: readonly string[];
}

export function createPathRoutes(routes: readonly PathRoute[]): PathRoutes {
  const exact = new Map<string, PathHandler>();
  const prefixes: PathRoute[] = [];
  for (const route of routes) {
    if (route.path !== "/" && route.path.endsWith("/")) prefixes.push(route);
    else exact.set(route.path, route.handler);
  }
  prefixes.sort((a, b) => b.path.length - a.path.length);
  return {
    find: (path) =>
      exact.get(path) ??
      exact.get(path.replace(/\/$/, "")) ??
      prefixes.find((route) => path.startsWith(route.path))?.handler,
    paths: routes
      .filter(
        (route) => route.listed !== false && !(route.path !== "/" && route.path.endsWith("/")),
      )
      .map((route) => route.path),
  };
}

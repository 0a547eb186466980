import { STATUS_CODES, type ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { RuntimeError, type ContainerRuntime } from "@wherry/cri-api";
import {
  systemClock,
  type Clock,
  type HttpHandler,
  type HttpRequest,
  type HttpResponse,
  type Logger,
  type MetricsRegistry,
} from "@wherry/service-kit";
import { findRunningContainer } from "./container-lookup.ts";
import { serveContainerLogs } from "./container-logs.ts";
import { createExitWatch } from "./exit-watch.ts";
import { KubeletHttpError } from "./kubelet-http-error.ts";
import { parseKubeletRoute, type ContainerTarget, type KubeletRoute } from "./kubelet-route.ts";
import type { NodeUsage } from "./node-usage.ts";
import type { PodDirectory } from "./pod-directory.ts";
import { createUsageReader } from "./pod-usage.ts";
import { servePortForward } from "./port-forward.ts";
import { serveRemoteCommand } from "./remote-command.ts";
import { resourceMetrics } from "./resource-metrics.ts";
import { statsSummary } from "./stats-summary.ts";
import type { UpgradeRequest } from "./upgrade-request.ts";

export interface KubeletApiDeps {
  readonly nodeName: string;
  readonly runtime: ContainerRuntime;
  readonly pods: PodDirectory;
  readonly log: Logger;
  readonly clock?: Clock;
  /** Behind `/metrics`; without it that path is empty. */
  readonly metrics?: MetricsRegistry;
  /** Replaces the machine's own figures, for simulated nodes. */
  readonly nodeUsage?: () => Promise<NodeUsage>;
  /** Why the node agent is not well, for `/healthz`. */
  readonly health?: () => string | undefined;
}

/** The kubelet's HTTP API. Who may call it is decided before: by the tunnel it comes through, or by the listener of port 10250. */
export function createKubeletApi(deps: KubeletApiDeps): HttpHandler & { close(): void } {
  const { runtime, pods, clock = systemClock } = deps;
  const log = deps.log.child({ component: "kubelet-api" });
  const exits = createExitWatch(runtime, clock);
  const usage = createUsageReader(runtime, pods, () => clock.now(), deps.nodeUsage);

  const answer = async (
    route: KubeletRoute,
    request: HttpRequest,
    parameters: URLSearchParams,
    response: HttpResponse,
  ): Promise<void> => {
    switch (route.kind) {
      case "healthz": {
        const reason = deps.health?.();
        sendText(
          response,
          reason === undefined ? 200 : 500,
          reason ?? "ok",
          "text/plain; charset=utf-8",
        );
        return;
      }
      case "pods":
        sendJson(response, { kind: "PodList", apiVersion: "v1", metadata: {}, items: pods.list() });
        return;
      case "metrics":
        sendText(
          response,
          200,
          (await deps.metrics?.expose()) ?? "",
          "text/plain; version=0.0.4; charset=utf-8",
        );
        return;
      case "resourceMetrics":
        sendText(
          response,
          200,
          resourceMetrics(await usage.read().catch(() => undefined)),
          "text/plain; version=0.0.4; charset=utf-8",
        );
        return;
      case "statsSummary":
        sendJson(response, statsSummary(deps.nodeName, await usage.read()));
        return;
      case "containerLogs":
        await serveContainerLogs(
          { runtime, pods, clock, exits },
          route.target,
          parameters,
          response,
        );
        return;
      case "run":
        if (request.method !== "POST") throw new KubeletHttpError(405, "405: Method Not Allowed\n");
        sendText(
          response,
          200,
          await runCommand(runtime, pods, route.target, parameters),
          "text/plain; charset=utf-8",
        );
        return;
      case "exec":
      case "attach":
      case "portForward":
        throw new KubeletHttpError(400, "Upgrade request required\n");
    }
  };

  const answerUpgrade = async (upgrade: UpgradeRequest): Promise<void> => {
    const { path, parameters } = parseUrl(upgrade.request.url);
    const route = parseKubeletRoute(path);
    switch (route.kind) {
      case "exec":
      case "attach":
        await serveRemoteCommand({ runtime, pods }, route.kind, route.target, parameters, upgrade);
        return;
      case "portForward":
        await servePortForward({ runtime, pods }, route.target, parameters, upgrade);
        return;
      case "containerLogs":
      case "healthz":
      case "metrics":
      case "pods":
      case "resourceMetrics":
      case "run":
      case "statsSummary":
        throw new KubeletHttpError(400, `${path} cannot be upgraded\n`);
    }
  };

  return {
    handle(request, response) {
      const { path, parameters } = parseUrl(request.url);
      const answered = (async () =>
        answer(parseKubeletRoute(path), request, parameters, response))();
      answered.catch((error: unknown) => {
        const failure = httpErrorFrom(error);
        if (failure.status >= 500) log.warn({ path, err: error }, "kubelet API request failed");
        if (response.headersSent) response.destroy();
        else sendText(response, failure.status, failure.message, "text/plain; charset=utf-8");
      });
    },
    upgrade(request, socket, head) {
      // Whoever hangs up while we look things up is no reason to end the process.
      socket.on("error", () => {});
      const upgrade: UpgradeRequest = { request, socket, head, answered: false };
      answerUpgrade(upgrade).catch((error: unknown) => {
        const failure = httpErrorFrom(error);
        // The API server gives its caller the status alone; the reason is only here.
        log.warn(
          { path: request.url, status: failure.status, err: error },
          "kubelet API stream refused",
        );
        if (upgrade.answered) socket.destroy();
        else refuseUpgrade(socket, failure);
      });
    },
    close: () => exits.close(),
  };
}

function parseUrl(url: string | undefined): {
  readonly path: string;
  readonly parameters: URLSearchParams;
} {
  const { pathname, searchParams } = new URL(url ?? "/", "http://node");
  return { path: pathname, parameters: searchParams };
}

async function runCommand(
  runtime: ContainerRuntime,
  pods: PodDirectory,
  target: ContainerTarget,
  parameters: URLSearchParams,
): Promise<string> {
  const command = (parameters.get("cmd") ?? "").split(" ").filter((word) => word !== "");
  if (command.length === 0) throw new KubeletHttpError(400, 'query parameter "cmd" is required\n');
  const containerId = await findRunningContainer(runtime, pods, target);
  const { stdout, stderr, exitCode } = await runtime.execSync(containerId, command, 0);
  const output = stdout.toString() + stderr.toString();
  if (exitCode !== 0)
    throw new KubeletHttpError(
      500,
      `command '${command.join(" ")}' exited with ${exitCode}: ${output}\n`,
    );
  return output;
}

const STATUS_BY_CODE: Readonly<Partial<Record<RuntimeError["code"], number>>> = {
  notFound: 404,
  invalidArgument: 400,
  resourceExhausted: 429,
  permissionDenied: 403,
  unimplemented: 501,
  unavailable: 503,
};

function httpErrorFrom(error: unknown): KubeletHttpError {
  if (error instanceof KubeletHttpError) return error;
  if (error instanceof RuntimeError)
    return new KubeletHttpError(STATUS_BY_CODE[error.code] ?? 500, error.message, { cause: error });
  return new KubeletHttpError(500, error instanceof Error ? error.message : String(error), {
    cause: error,
  });
}

function sendText(response: HttpResponse, status: number, body: string, contentType: string): void {
  // Both kinds of response have these methods; their types cannot be called as a union.
  (response as ServerResponse).writeHead(status, {
    "content-type": contentType,
    "content-length": Buffer.byteLength(body),
  });
  response.end(body);
}

function sendJson(response: HttpResponse, value: object): void {
  sendText(response, 200, JSON.stringify(value), "application/json");
}

function refuseUpgrade(socket: Duplex, failure: KubeletHttpError): void {
  const reason = STATUS_CODES[failure.status] ?? "Error";
  socket.end(
    `HTTP/1.1 ${failure.status} ${reason}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ${Buffer.byteLength(failure.message)}\r\nConnection: close\r\n\r\n${failure.message}`,
  );
}

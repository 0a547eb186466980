import { connect } from "node:net";
import { RuntimeError } from "@wherry/cri-api";
import type { ContainerRuntime } from "@wherry/cri-api";
import type { ContainerSpec, LifecycleHandler, ProbeSpec } from "../pods/pod-types.ts";
import { getHttp, urlOf } from "./http-request.ts";
import type { HttpTarget } from "./http-request.ts";

export type ProbeVerdict =
  | { readonly kind: "success"; readonly warning?: string }
  | { readonly kind: "failure"; readonly output: string };

export interface ProbeTarget {
  readonly container: ContainerSpec;
  readonly containerId: string;
  readonly podIp: string;
}

const outputMax = 10 * 1024;

/** Runs one probe to its verdict. Throws when it could not be run at all, which counts as neither. */
export async function runProbe(
  probe: ProbeSpec,
  target: ProbeTarget,
  runtime: Pick<ContainerRuntime, "execSync">,
  userAgent: string,
): Promise<ProbeVerdict> {
  const timeoutSeconds = probe.timeoutSeconds ?? 1;
  const timeoutMs = timeoutSeconds * 1_000;
  if (probe.exec !== undefined)
    return runExec(probe.exec.command ?? [], target.containerId, timeoutSeconds, runtime);
  if (probe.httpGet !== undefined)
    return runHttp(httpTarget(probe.httpGet, target.container, target.podIp), timeoutMs, userAgent);
  if (probe.tcpSocket !== undefined) {
    const host = probe.tcpSocket.host ?? "";
    return runTcp(
      host === "" ? target.podIp : host,
      resolvePort(probe.tcpSocket.port, target.container),
      timeoutMs,
    );
  }
  if (probe.grpc !== undefined)
    return runGrpc(
      target.podIp,
      probe.grpc.port,
      probe.grpc.service ?? "",
      timeoutSeconds,
      userAgent,
    );
  throw new Error(`missing probe handler for container ${target.container.name}`);
}

async function runExec(
  command: readonly string[],
  containerId: string,
  timeoutSeconds: number,
  runtime: Pick<ContainerRuntime, "execSync">,
): Promise<ProbeVerdict> {
  try {
    const { exitCode, stdout, stderr } = await runtime.execSync(
      containerId,
      command,
      timeoutSeconds,
    );
    return exitCode === 0
      ? { kind: "success" }
      : {
          kind: "failure",
          output: Buffer.concat([stdout, stderr]).subarray(0, outputMax).toString("utf8"),
        };
  } catch (error) {
    if (error instanceof RuntimeError && error.code === "deadlineExceeded")
      return {
        kind: "failure",
        output: `command timed out: "${command.join(" ")}" timed out after ${timeoutSeconds}s`,
      };
    throw error;
  }
}

export function httpTarget(
  action: NonNullable<LifecycleHandler["httpGet"]>,
  container: ContainerSpec,
  podIp: string,
): HttpTarget {
  const host = action.host ?? "";
  const path = action.path ?? "";
  return {
    scheme: action.scheme?.toLowerCase() === "https" ? "https" : "http",
    host: host === "" ? podIp : host,
    port: resolvePort(action.port, container),
    path: path.startsWith("/") ? path : `/${path}`,
    headers: action.httpHeaders ?? [],
  };
}

/** A number, a numeric string, or the name of one of the container's ports. */
export function resolvePort(port: string | number, container: ContainerSpec): number {
  const named =
    typeof port === "string"
      ? container.ports?.find((one) => one.name === port)?.containerPort
      : undefined;
  const number = named ?? Number(port);
  if (!Number.isInteger(number) || number < 1 || number > 65_535)
    throw new Error(`couldn't find port: ${JSON.stringify(port)} in container ${container.name}`);
  return number;
}

async function runHttp(
  target: HttpTarget,
  timeoutMs: number,
  userAgent: string,
): Promise<ProbeVerdict> {
  try {
    const { status, body, redirectedAway } = await getHttp(target, timeoutMs, userAgent);
    if (status >= 200 && status < 400)
      return redirectedAway
        ? { kind: "success", warning: `Probe terminated redirects, Response body: ${body}` }
        : { kind: "success" };
    return { kind: "failure", output: `HTTP probe failed with statuscode: ${status}` };
  } catch (error) {
    const timedOut =
      error instanceof Error && (error.name === "TimeoutError" || error.name === "AbortError");
    const detail = timedOut
      ? "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
      : dialText(error, target.host, target.port);
    return { kind: "failure", output: `Get "${urlOf(target)}": ${detail}` };
  }
}

function runTcp(host: string, port: number, timeoutMs: number): Promise<ProbeVerdict> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: timeoutMs });
    const finish = (verdict: ProbeVerdict): void => {
      socket.destroy();
      resolve(verdict);
    };
    socket.once("connect", () => finish({ kind: "success" }));
    socket.once("timeout", () =>
      finish({ kind: "failure", output: `dial tcp ${joinHostPort(host, port)}: i/o timeout` }),
    );
    socket.once("error", (error) =>
      finish({ kind: "failure", output: dialText(error, host, port) }),
    );
  });
}

async function runGrpc(
  host: string,
  port: number,
  service: string,
  timeoutSeconds: number,
  userAgent: string,
): Promise<ProbeVerdict> {
  const address = joinHostPort(host, port);
  // HTTP/2 is loaded by the first probe that needs it.
  const { checkGrpcHealth, GrpcStatusError } = await import("./grpc-health.ts");
  try {
    const status = await checkGrpcHealth(host, port, service, timeoutSeconds * 1_000, userAgent);
    return status === "SERVING"
      ? { kind: "success" }
      : { kind: "failure", output: `service unhealthy (responded with "${status}")` };
  } catch (error) {
    if (error instanceof GrpcStatusError && error.grpcStatus === 12)
      return {
        kind: "failure",
        output: `error: this server does not implement the grpc health protocol (grpc.health.v1.Health): ${error.message}`,
      };
    if (error instanceof GrpcStatusError && error.grpcStatus === 4)
      return {
        kind: "failure",
        output: `timeout: health rpc did not complete within ${timeoutSeconds}s`,
      };
    return {
      kind: "failure",
      output: `error: failed to connect service "${address}": ${dialText(error, host, port)}`,
    };
  }
}

function joinHostPort(host: string, port: number): string {
  return `${host.includes(":") ? `[${host}]` : host}:${port}`;
}

/** Connection failures in the words of Go's net package, which dashboards and users search for. */
function dialText(error: unknown, host: string, port: number): string {
  const { code, message } = error as NodeJS.ErrnoException;
  const texts: Readonly<Record<string, string>> = {
    ECONNREFUSED: "connect: connection refused",
    EHOSTUNREACH: "connect: no route to host",
    ENETUNREACH: "connect: network is unreachable",
    ETIMEDOUT: "i/o timeout",
  };
  const text = code === undefined ? undefined : texts[code];
  if (text !== undefined) return `dial tcp ${joinHostPort(host, port)}: ${text}`;
  return code === "ECONNRESET"
    ? `read tcp ${joinHostPort(host, port)}: read: connection reset by peer`
    : (message ?? String(error));
}

import { once } from "node:events";
import type { ContainerRuntime } from "@wherry/cri-api";
import type { Pod } from "@wherry/machinery";
import type { ServerResponse } from "node:http";
import type { Clock, HttpResponse } from "@wherry/service-kit";
import { findContainer, type ApiContainerStatus } from "../pods/pod-types.ts";
import { containerInstances, findPod } from "./container-lookup.ts";
import type { ExitWatch } from "./exit-watch.ts";
import { createFileSignal } from "./file-signal.ts";
import { KubeletHttpError } from "./kubelet-http-error.ts";
import type { ContainerTarget } from "./kubelet-route.ts";
import { openLogFile, type LogFile } from "./log-file.ts";
import { createLogLineFormatter, type LogLineFormatter, type LogOptions } from "./log-line.ts";
import type { PodDirectory } from "./pod-directory.ts";

export interface ContainerLogsDeps {
  readonly runtime: ContainerRuntime;
  readonly pods: PodDirectory;
  readonly clock: Clock;
  readonly exits: ExitWatch;
}

interface ContainerLogsQuery extends LogOptions {
  readonly follow: boolean;
  readonly previous: boolean;
  readonly tailLines: number | undefined;
  readonly limitBytes: number | undefined;
}

/** Answers `/containerLogs`: reads the runtime's log file, and follows it through rotations until the container ends. */
export async function serveContainerLogs(
  deps: ContainerLogsDeps,
  target: ContainerTarget,
  parameters: URLSearchParams,
  answer: HttpResponse,
): Promise<void> {
  // Both kinds of response have the methods used here; their types cannot be called as a union.
  const response = answer as ServerResponse;
  const query = parseLogsQuery(parameters, deps.clock.now());
  const pod = findPod(deps.pods, target);
  const { id, logPath } = await findLog(deps.runtime, pod, target, query.previous);
  response.writeHead(200, { "content-type": "text/plain" });
  response.flushHeaders();
  const output = createOutput(response, query.limitBytes);
  if (query.follow && !query.previous) await followLog(deps, id, logPath, query, output);
  else await copyLog(logPath, query, output);
  response.end();
}

export function parseLogsQuery(parameters: URLSearchParams, nowMs: number): ContainerLogsQuery {
  const bad = (name: string, value: string): KubeletHttpError =>
    new KubeletHttpError(400, `{"message": "Invalid request: ${name}=${value}"}`);
  const number = (name: string, minimum: number): number | undefined => {
    const text = parameters.get(name);
    if (text === null || text === "") return undefined;
    const value = Number(text);
    if (!Number.isSafeInteger(value) || value < minimum) throw bad(name, text);
    return value;
  };
  const flag = (name: string): boolean => ["true", "1"].includes(parameters.get(name) ?? "");
  const sinceSeconds = number("sinceSeconds", 1);
  const sinceTime = parameters.get("sinceTime");
  const stream = parameters.get("stream") ?? "All";
  if (sinceTime !== null && Number.isNaN(Date.parse(sinceTime))) throw bad("sinceTime", sinceTime);
  if (stream !== "All" && stream !== "Stdout" && stream !== "Stderr") throw bad("stream", stream);
  return {
    follow: flag("follow"),
    previous: flag("previous"),
    timestamps: flag("timestamps"),
    tailLines: number("tailLines", 0),
    limitBytes: number("limitBytes", 1),
    sinceMs:
      sinceSeconds === undefined
        ? sinceTime === null
          ? undefined
          : Date.parse(sinceTime)
        : nowMs - sinceSeconds * 1000,
    stream,
  };
}

async function findLog(
  runtime: ContainerRuntime,
  pod: Pod,
  target: ContainerTarget,
  previous: boolean,
): Promise<{ readonly id: string; readonly logPath: string }> {
  const quoted = `${JSON.stringify(target.container)} in pod ${JSON.stringify(target.pod)}`;
  if (findContainer(pod, target.container) === undefined)
    throw new KubeletHttpError(
      404,
      `container ${JSON.stringify(target.container)} not found in pod ${JSON.stringify(target.pod)}\n`,
    );
  const instances = (await containerInstances(runtime, pod, target.container)).filter(
    (instance) => instance.state !== "CREATED",
  );
  const instance = instances[previous ? 1 : 0];
  if (instance === undefined) {
    if (previous)
      throw new KubeletHttpError(400, `previous terminated container ${quoted} not found`);
    const waiting = statusOf(pod, target.container)?.state?.waiting?.reason;
    if (waiting !== undefined)
      throw new KubeletHttpError(400, `container ${quoted} is waiting to start: ${waiting}`);
    throw new KubeletHttpError(400, `container ${quoted} is not available`);
  }
  const { logPath } = await runtime.containerStatus(instance.id);
  return { id: instance.id, logPath };
}

function statusOf(pod: Pod, container: string): ApiContainerStatus | undefined {
  const {
    containerStatuses = [],
    initContainerStatuses = [],
    ephemeralContainerStatuses = [],
  } = pod.status ?? {};
  return [...containerStatuses, ...initContainerStatuses, ...ephemeralContainerStatuses].find(
    (status) => status.name === container,
  );
}

/** Writes at the client's pace and stops at the byte limit or when the client has gone. */
interface Output {
  readonly over: boolean;
  readonly gone: AbortSignal;
  write(formatter: LogLineFormatter, lines: readonly Buffer[]): Promise<void>;
}

function createOutput(response: ServerResponse, limitBytes: number | undefined): Output {
  let left = limitBytes ?? Number.POSITIVE_INFINITY;
  const gone = new AbortController();
  response.once("close", () => gone.abort());
  return {
    get over() {
      return left <= 0 || gone.signal.aborted;
    },
    gone: gone.signal,
    async write(formatter, lines) {
      const shown = Buffer.concat(
        lines.map((line) => formatter.format(line)).filter((text) => text !== undefined),
      );
      const bytes = shown.subarray(0, Math.min(shown.length, left));
      left -= bytes.length;
      if (bytes.length === 0 || gone.signal.aborted) return;
      if (!response.write(bytes))
        await once(response, "drain", { signal: gone.signal }).catch(() => {});
    },
  };
}

async function copyLog(path: string, query: ContainerLogsQuery, output: Output): Promise<void> {
  const file = await openLogFile(path, query.tailLines);
  if (file === undefined) return;
  try {
    await copyLines(file, createLogLineFormatter(query), output);
  } finally {
    await file.close();
  }
}

async function copyLines(
  file: LogFile,
  formatter: LogLineFormatter,
  output: Output,
): Promise<void> {
  while (!output.over) {
    const lines = await file.readLines();
    if (lines.length === 0) return;
    await output.write(formatter, lines);
  }
}

async function followLog(
  deps: ContainerLogsDeps,
  containerId: string,
  path: string,
  query: ContainerLogsQuery,
  output: Output,
): Promise<void> {
  const signal = createFileSignal(path, deps.clock);
  const formatter = createLogLineFormatter(query);
  let exited = false;
  const forget = deps.exits.onExit(containerId, () => {
    exited = true;
    signal.poke();
  });
  output.gone.addEventListener("abort", () => signal.poke(), { once: true });
  let file: LogFile | undefined;
  try {
    for (let first = true; !output.over; first = false) {
      // Read before the copy, so that what was written up to the end is copied.
      const ends = exited;
      file ??= await openLogFile(path, first ? query.tailLines : undefined);
      if (file !== undefined) await copyLines(file, formatter, output);
      if (file !== undefined && (await file.wasReplaced())) {
        await copyLines(file, formatter, output);
        await file.close();
        file = undefined;
        continue;
      }
      if (ends) return;
      if (!output.over) await signal.changed();
    }
  } finally {
    forget();
    signal.close();
    await file?.close();
  }
}

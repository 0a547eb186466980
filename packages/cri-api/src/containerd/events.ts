import type { Clock } from "@wherry/service-kit";
import type { ContainerEvent, ContainerRuntime } from "../runtime.ts";
import { RuntimeError } from "../runtime.ts";
import type { GrpcChannel } from "./grpc-channel.ts";
import type { NativeClient } from "./native-client.ts";

const SUBSCRIBE_PATH = "/containerd.services.events.v1.Events/Subscribe";
const TASK_TOPICS = 'namespace==k8s.io,topic~="/tasks/(exit|oom|start)"';
const DELETE_TOPIC = 'namespace==k8s.io,topic=="/containers/delete"';

/** Events that wait for a slow reader; beyond it the subscription ends, and the reader lists anew. */
const WAITING_MAX = 4096;
/** How long, in all about two seconds, a "stopped" is held back until the CRI plugin has noticed the end too. */
const SETTLE_DELAYS_MS = [0, 5, 10, 20, 40, 80, 160, 320, 640, 640];

/**
 * containerd's event stream in the node agent's terms. CRI's own events exist only from 1.7 on. The CRI plugin learns of an exit from the same
 * stream as we do, so that a status asked for at once may still say "running"; "stopped" is therefore passed on when the status says so too.
 */
export async function* subscribeToEvents(
  channel: GrpcChannel,
  native: NativeClient,
  runtime: Pick<ContainerRuntime, "containerStatus" | "podSandboxStatus">,
  clock: Clock,
  signal: AbortSignal,
): AsyncGenerator<ContainerEvent> {
  if (signal.aborted) return;
  const stream = await channel.serverStream(
    SUBSCRIBE_PATH,
    native.codec.encode("EventsSubscribeRequest", { filters: [TASK_TOPICS, DELETE_TOPIC] }),
    native.metadata(),
  );
  const waiting: ContainerEvent[] = [];
  let over = false;
  let wake = (): void => {};
  const end = (): void => {
    over = true;
    wake();
  };
  const push = (event: ContainerEvent): void => {
    if (over) return;
    waiting.push(event);
    if (waiting.length > WAITING_MAX) end();
    wake();
  };
  stream.on("data", (bytes: Buffer) => {
    const event = eventFrom(native, bytes);
    if (event === undefined) return;
    if (event.kind === "stopped")
      void settleExit(runtime, clock, event.containerId).then(() => push(event));
    else push(event);
  });
  stream.on("error", end);
  stream.on("end", end);
  signal.addEventListener("abort", end, { once: true });
  try {
    for (;;) {
      const event = waiting.shift();
      if (event !== undefined) yield event;
      else if (over) return;
      else {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    }
  } finally {
    signal.removeEventListener("abort", end);
    stream.cancel();
  }
}

interface Envelope {
  readonly topic?: string;
  readonly event?: { readonly value?: Buffer };
}

function eventFrom(native: NativeClient, bytes: Buffer): ContainerEvent | undefined {
  const { topic = "", event } = native.codec.decode("EventsEnvelope", bytes) as Envelope;
  const decode = (type: string) => native.codec.decode(type, event?.value ?? Buffer.alloc(0));
  switch (topic) {
    case "/tasks/start":
      return { kind: "started", containerId: String(decode("TaskStart")["container_id"]) };
    case "/tasks/oom":
      return { kind: "oom", containerId: String(decode("TaskOOM")["container_id"]) };
    case "/tasks/exit": {
      const { container_id: container, id: process } = decode("TaskExit");
      /** The end of an exec'd process says nothing about its container. */
      return process === container
        ? { kind: "stopped", containerId: String(container) }
        : undefined;
    }
    case "/containers/delete":
      return { kind: "removed", containerId: String(decode("ContainerDelete")["id"]) };
    default:
      return undefined;
  }
}

async function settleExit(
  runtime: Pick<ContainerRuntime, "containerStatus" | "podSandboxStatus">,
  clock: Clock,
  id: string,
): Promise<void> {
  for (const delayMs of SETTLE_DELAYS_MS) {
    if (delayMs > 0) await clock.sleep(delayMs);
    if (!(await stillRuns(runtime, id))) return;
  }
}

async function stillRuns(
  runtime: Pick<ContainerRuntime, "containerStatus" | "podSandboxStatus">,
  id: string,
): Promise<boolean> {
  try {
    return (await runtime.containerStatus(id)).state === "RUNNING";
  } catch (error) {
    if (!(error instanceof RuntimeError) || error.code !== "notFound") return false;
  }
  try {
    return (await runtime.podSandboxStatus(id)).state === "READY";
  } catch {
    return false;
  }
}

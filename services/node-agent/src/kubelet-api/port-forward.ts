import type { Duplex } from "node:stream";
import {
  PORT_FORWARD_PROTOCOL,
  SPDY_UPGRADE,
  SpdyConnection,
  acceptSpdy,
  dialSpdy,
  wantsSpdy,
  type ContainerRuntime,
  type SpdyStream,
} from "@wherry/cri-api";
import { findReadySandbox } from "./container-lookup.ts";
import { KubeletHttpError } from "./kubelet-http-error.ts";
import type { PodTarget } from "./kubelet-route.ts";
import type { PodDirectory } from "./pod-directory.ts";
import { parsePorts, runPortChannels } from "./port-forward-channels.ts";
import { LINGER_MS, joinStreams, relayUpgrade } from "./upgrade-relay.ts";
import type { UpgradeRequest } from "./upgrade-request.ts";
import { acceptWebSocket, offeredSubprotocols, wantsWebSocket } from "./websocket-upgrade.ts";

/** SPDY inside WebSocket messages: what kubectl speaks since 1.31. */
const TUNNEL_PROTOCOL = `${SPDY_UPGRADE}+${PORT_FORWARD_PROTOCOL}`;
const CHANNEL_PROTOCOLS = ["v4.channel.k8s.io", "v4.base64.channel.k8s.io"];
const STREAM_PAIRS_MAX = 512;

/** Answers `/portForward`: SPDY as it is, SPDY within a WebSocket, or numbered WebSocket channels. */
export async function servePortForward(
  deps: { readonly runtime: ContainerRuntime; readonly pods: PodDirectory },
  target: PodTarget,
  parameters: URLSearchParams,
  upgrade: UpgradeRequest,
): Promise<void> {
  const { runtime } = deps;
  const { request, socket, head } = upgrade;
  const sandboxId = await findReadySandbox(runtime, deps.pods, target);
  const streamingUrl = async (): Promise<string | undefined> =>
    runtime.streamingUrl?.({ kind: "portForward", sandboxId, ports: [] });

  if (wantsWebSocket(request)) {
    const offered = offeredSubprotocols(request);
    if (offered.includes(TUNNEL_PROTOCOL)) {
      const url = await streamingUrl();
      const upstream = url === undefined ? undefined : await dialSpdy(url, [PORT_FORWARD_PROTOCOL]);
      const { createWebSocketStream } = await import("ws");
      upgrade.answered = true;
      const tunnel = createWebSocketStream(
        await acceptWebSocket(request, socket, head, TUNNEL_PROTOCOL),
      );
      if (upstream === undefined) serveStreams(runtime, sandboxId, tunnel, Buffer.alloc(0));
      else {
        if (upstream.head.length > 0) tunnel.write(upstream.head);
        joinStreams(tunnel, upstream.socket, LINGER_MS);
      }
      return;
    }
    const protocol = offered.find((name) => CHANNEL_PROTOCOLS.includes(name));
    if (protocol === undefined && offered.length > 0)
      throw new KubeletHttpError(
        403,
        `unable to upgrade: none of the subprotocols ${JSON.stringify(offered)} is known\n`,
      );
    const ports = parsePorts(parameters);
    upgrade.answered = true;
    runPortChannels(
      await acceptWebSocket(request, socket, head, protocol ?? ""),
      ports,
      protocol === "v4.base64.channel.k8s.io",
      (port) => runtime.portForward(sandboxId, port),
    );
    return;
  }
  if (!wantsSpdy(request))
    throw new KubeletHttpError(400, "unable to upgrade: missing upgrade headers in request\n");
  const url = await streamingUrl();
  upgrade.answered = true;
  if (url !== undefined) relayUpgrade(request, socket, head, url);
  else if (acceptSpdy(request, socket, [PORT_FORWARD_PROTOCOL]) !== undefined)
    serveStreams(runtime, sandboxId, socket, head);
}

/** Serves SPDY port-forward ourselves: for each request id a data stream and an error stream. */
function serveStreams(
  runtime: ContainerRuntime,
  sandboxId: string,
  socket: Duplex,
  head: Buffer,
): void {
  const pairs = new Map<string, Partial<Record<"data" | "error", SpdyStream>>>();
  void new SpdyConnection(socket, {
    role: "server",
    head,
    onStream: (stream) => {
      const { streamtype, requestid = "", port } = stream.headers;
      if (
        (streamtype !== "data" && streamtype !== "error") ||
        port === undefined ||
        pairs.size >= STREAM_PAIRS_MAX
      ) {
        stream.refuse();
        return;
      }
      stream.reply();
      const pair = pairs.get(requestid) ?? {};
      pairs.set(requestid, { ...pair, [streamtype]: stream });
      const { data, error } = pairs.get(requestid) ?? {};
      if (data === undefined || error === undefined) return;
      pairs.delete(requestid);
      void forward(runtime, sandboxId, Number(port), data, error);
    },
  });
}

async function forward(
  runtime: ContainerRuntime,
  sandboxId: string,
  port: number,
  data: SpdyStream,
  errors: SpdyStream,
): Promise<void> {
  try {
    const upstream = await runtime.portForward(sandboxId, port);
    joinStreams(data, upstream);
    errors.end();
  } catch (error) {
    errors.end(
      `error forwarding port ${port} to pod ${sandboxId}: ${error instanceof Error ? error.message : String(error)}`,
    );
    data.end();
  }
}

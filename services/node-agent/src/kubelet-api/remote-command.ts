import {
  acceptSpdy,
  offeredProtocols,
  wantsSpdy,
  type ContainerRuntime,
  type ExecOptions,
  type ExecSession,
} from "@wherry/cri-api";
import { findRunningContainer } from "./container-lookup.ts";
import { KubeletHttpError } from "./kubelet-http-error.ts";
import type { ContainerTarget } from "./kubelet-route.ts";
import type { PodDirectory } from "./pod-directory.ts";
import { runSpdySession } from "./remote-command-spdy.ts";
import { chooseChannelProtocol, runWebSocketSession } from "./remote-command-websocket.ts";
import { relayUpgrade } from "./upgrade-relay.ts";
import type { UpgradeRequest } from "./upgrade-request.ts";
import { acceptWebSocket, offeredSubprotocols, wantsWebSocket } from "./websocket-upgrade.ts";

/** Only this version reports exit codes; every client since Kubernetes 1.4 offers it. */
const SPDY_PROTOCOL = "v4.channel.k8s.io";

/**
 * Answers `/exec` and `/attach`. A WebSocket is translated, because containerd's own streaming server knows neither version 5 nor the end of stdin on
 * it. A SPDY client is relayed to that server byte by byte, or served here when the runtime has none.
 */
export async function serveRemoteCommand(
  deps: { readonly runtime: ContainerRuntime; readonly pods: PodDirectory },
  kind: "exec" | "attach",
  target: ContainerTarget,
  parameters: URLSearchParams,
  upgrade: UpgradeRequest,
): Promise<void> {
  const { runtime } = deps;
  const { request, socket, head } = upgrade;
  const options = parseRemoteCommand(parameters);
  if (kind === "exec" && options.command.length === 0)
    throw new KubeletHttpError(400, "you must specify at least one command\n");
  const containerId = await findRunningContainer(runtime, deps.pods, target);
  const open = (): Promise<ExecSession> =>
    kind === "exec" ? runtime.exec(containerId, options) : runtime.attach(containerId, options);

  if (wantsWebSocket(request)) {
    const protocol = chooseChannelProtocol(offeredSubprotocols(request));
    if (protocol === undefined)
      throw new KubeletHttpError(
        403,
        `unable to upgrade: none of the subprotocols ${JSON.stringify(offeredSubprotocols(request))} is known\n`,
      );
    upgrade.answered = true;
    await runWebSocketSession(
      await acceptWebSocket(request, socket, head, protocol.name),
      protocol,
      options,
      open,
    );
    return;
  }
  if (!wantsSpdy(request))
    throw new KubeletHttpError(400, "unable to upgrade: missing upgrade headers in request\n");
  if (runtime.streamingUrl !== undefined) {
    const url = await runtime.streamingUrl({ kind, containerId, ...options });
    upgrade.answered = true;
    relayUpgrade(request, socket, head, url);
    return;
  }
  if (!offeredProtocols(request).includes(SPDY_PROTOCOL))
    throw new KubeletHttpError(403, `unable to upgrade: ${SPDY_PROTOCOL} is needed\n`);
  upgrade.answered = true;
  if (acceptSpdy(request, socket, [SPDY_PROTOCOL]) !== undefined)
    await runSpdySession(socket, head, options, open);
}

/** The kubelet's parameter names: `input`, `output`, `error`, `tty`, and `command` once per argument. */
export function parseRemoteCommand(parameters: URLSearchParams): ExecOptions {
  const flag = (name: string): boolean => ["1", "true"].includes(parameters.get(name) ?? "");
  const tty = flag("tty");
  const options = {
    command: parameters.getAll("command"),
    stdin: flag("input"),
    stdout: flag("output"),
    stderr: flag("error") && !tty,
    tty,
  };
  if (!options.stdin && !options.stdout && !options.stderr)
    throw new KubeletHttpError(400, "you must specify at least 1 of stdin, stdout, stderr\n");
  return options;
}

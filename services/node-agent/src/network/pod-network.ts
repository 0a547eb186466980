import { createHash } from "node:crypto";
import { access } from "node:fs/promises";
import { join } from "node:path";
import { resources } from "@wherry/client";
import type { Node } from "@wherry/machinery";
import {
  applyNft,
  diffOverlay,
  formatAddress,
  masqueradeCommands,
  nthAddress,
  parseCidr,
  planHostGateway,
  planVxlan,
  readAddresses,
  readForwardingEntries,
  readLinks,
  readNeighbours,
  readRoutes,
  runChecked,
  tryParseAddress,
  type CommandRunner,
  type Link,
  type OverlayObserved,
  type OverlayPlan,
} from "@wherry/net";
import { createDeferred, createService, type Service } from "@wherry/service-kit";
import { BRIDGE, cniConfig, writeCniConfig } from "./cni-config.ts";
import {
  announce,
  announcedMac,
  flannelAnnotation,
  ipv4Block,
  peerOf,
  type OverlayBackend,
} from "./flannel-annotations.ts";
import { createGatherer, type Gatherer } from "./gatherer.ts";
import { forwardingParameters, setKernelParameters } from "./kernel-settings.ts";
import type { PodNetworkConfig } from "./network-config.ts";
import { detectNodeIp, type DetectedNodeIp } from "./node-address.ts";
import { isPeerRoute } from "./peer-route.ts";
import { informersOf, type NetworkDeps } from "./shared-informers.ts";

export const VXLAN_DEVICE = "flannel.1";
const VXLAN_VNI = 1;
const VXLAN_PORT = 8_472;
/** Outer Ethernet, IP, UDP and VXLAN headers. */
const VXLAN_OVERHEAD = 50;

export interface PodNetwork extends Service {
  /** Resolves when this node's part is set up and announced (at once for backend `none`). */
  whenReady(): Promise<void>;
}

/**
 * The pod network of one node: bridge, CNI configuration, overlay device, and the routes to the other nodes' blocks. What a previous run
 * left is taken over where it fits, so that a restart does not interrupt traffic; stopping changes nothing.
 */
export function createPodNetwork(
  config: PodNetworkConfig,
  deps: NetworkDeps & { readonly run: CommandRunner },
): PodNetwork {
  const { run, clock, api } = deps;
  const log = deps.log.child({ component: "pod-network" });
  const ready = createDeferred();
  const stopping = new AbortController();
  const source = informersOf(deps);
  const backend: OverlayBackend | undefined =
    config.backend === "none" ? undefined : config.backend;
  const nodes =
    backend === undefined ? undefined : source.informers.informer<Node>(resources.nodes);
  let unsubscribe: (() => void) | undefined;
  let gatherer: Gatherer | undefined;
  let failure: string | undefined =
    backend === undefined ? undefined : "waits for its Node's spec.podCIDR";
  let here: DetectedNodeIp | undefined;
  let preparedFor: string | undefined;

  const reconcile = async (kind: OverlayBackend): Promise<void> => {
    const self = nodes?.store.get(config.nodeName);
    const podCidr = ipv4Block(self);
    if (self === undefined || podCidr === undefined) {
      failure =
        self === undefined
          ? `the Node ${config.nodeName} does not exist yet`
          : `waits for the IPv4 spec.podCIDR of the Node ${config.nodeName}`;
      return;
    }
    here ??= await detectNodeIp(run, {
      ...(config.nodeIp === undefined ? {} : { nodeIp: config.nodeIp }),
      ...(config.interface === undefined ? {} : { interface: config.interface }),
    });
    const mtu = kind === "vxlan" ? here.mtu - VXLAN_OVERHEAD : here.mtu;
    if (preparedFor !== podCidr) {
      await prepareNode(podCidr, mtu, here);
      preparedFor = podCidr;
    }
    const observed = await observe(kind);
    const mac = observed.device?.mac ?? announcedMac(self) ?? macOf(config.nodeName);
    const peers = [...(nodes?.store.list() ?? [])]
      .filter((node) => node.metadata.name !== config.nodeName)
      .flatMap((node) => peerOf(node, kind) ?? []);
    const plan =
      kind === "vxlan"
        ? planVxlan(
            {
              device: VXLAN_DEVICE,
              vni: VXLAN_VNI,
              port: VXLAN_PORT,
              parent: here.interface,
              localAddress: here.address,
              mac,
              mtu,
              podCidr,
            },
            peers,
          )
        : planHostGateway({ parent: here.interface, podCidr }, peers);
    await carryOut(plan, observed);
    await announceSelf(self, kind, mac, here.address);
    if (failure !== undefined)
      log.info(
        { podCidr, backend: kind, interface: here.interface, nodeIp: here.address },
        "pod network is ready",
      );
    failure = undefined;
    ready.resolve();
  };

  const prepareNode = async (
    podCidr: string,
    mtu: number,
    place: DetectedNodeIp,
  ): Promise<void> => {
    await ensureBridge(podCidr, mtu);
    // Host ports are reachable by the loopback address; the service table keeps pods away from the node's loopback.
    await setKernelParameters(run, { [`net/ipv4/conf/${BRIDGE}/route_localnet`]: "1" });
    if (config.masquerade)
      await applyNft(
        run,
        masqueradeCommands({ family: "ip", name: "wherry-masq" }, config.clusterCidr),
      );
    if (!place.hasDefaultRoute) {
      // Without any route the kernel refuses service addresses before the rules that translate them are asked.
      log.warn(
        { serviceCidr: config.serviceCidr },
        "this machine has no default route; a route for service addresses is added",
      );
      await runChecked(run, [
        "ip",
        "route",
        "replace",
        config.serviceCidr,
        "dev",
        "lo",
        "src",
        place.address,
      ]);
    }
    const bandwidth = await access(join(config.cniBinDir, "bandwidth")).then(
      () => true,
      () => false,
    );
    await writeCniConfig(
      config.cniConfDir,
      cniConfig({ podCidr, mtu, leaseDir: config.cniLeaseDir, bandwidth }),
    );
  };

  const ensureBridge = async (podCidr: string, mtu: number): Promise<void> => {
    const block = parseCidr(podCidr);
    const gateway = nthAddress(block, 1);
    const wanted = `${formatAddress(gateway)}/${block.prefix}`;
    const bridge = (await readLinks(run)).find((link) => link.name === BRIDGE);
    if (bridge === undefined) {
      // A bridge without a MAC of its own takes that of its lowest port, which changes as pods come and go.
      await runChecked(run, [
        "ip",
        "link",
        "add",
        BRIDGE,
        "address",
        `0a:58:${gateway.value
          .toString(16)
          .padStart(8, "0")
          .replace(/(..)(..)(..)(..)/, "$1:$2:$3:$4")}`,
        "mtu",
        String(mtu),
        "type",
        "bridge",
      ]);
    }
    const present = (await readAddresses(run))
      .filter((address) => address.link === BRIDGE && address.family === 4)
      .map((address) => `${address.address}/${address.prefix}`);
    for (const other of present)
      if (other !== wanted) await runChecked(run, ["ip", "addr", "del", other, "dev", BRIDGE]);
    if (!present.includes(wanted))
      await runChecked(run, ["ip", "addr", "add", wanted, "dev", BRIDGE]);
    if (bridge?.up !== true) await runChecked(run, ["ip", "link", "set", BRIDGE, "up"]);
  };

  const observe = async (kind: OverlayBackend): Promise<OverlayObserved> => {
    const [links, addresses, routes] = await Promise.all([
      readLinks(run),
      readAddresses(run),
      readRoutes(run),
    ]);
    const device: Link | undefined = links.find((link) => link.name === VXLAN_DEVICE);
    if (kind === "host-gw") {
      if (device !== undefined) await runChecked(run, ["ip", "link", "delete", VXLAN_DEVICE]);
      return {
        deviceAddresses: [],
        neighbours: [],
        forwarding: [],
        routes: routes.filter(
          (route) => route.link !== VXLAN_DEVICE && isPeerRoute(route, config.clusterCidr),
        ),
      };
    }
    return {
      ...(device === undefined ? {} : { device }),
      deviceAddresses: addresses
        .filter((address) => address.link === VXLAN_DEVICE && address.family === 4)
        .map((address) => `${address.address}/${address.prefix}`),
      neighbours: device === undefined ? [] : await readNeighbours(run, VXLAN_DEVICE),
      forwarding: device === undefined ? [] : await readForwardingEntries(run, VXLAN_DEVICE),
      routes: routes.filter(
        (route) => route.link === VXLAN_DEVICE || isPeerRoute(route, config.clusterCidr),
      ),
    };
  };

  const carryOut = async (plan: OverlayPlan, observed: OverlayObserved): Promise<void> => {
    const changes = diffOverlay(plan, observed);
    for (const command of changes.commands) await runChecked(run, command);
    // A batch ends at its first failure (an entry that somebody else took away meanwhile); the retry looks again and does the rest.
    if (changes.ipLines.length > 0)
      await runChecked(run, ["ip", "-batch", "-"], { input: lines(changes.ipLines) });
    if (changes.bridgeLines.length > 0)
      await runChecked(run, ["bridge", "-batch", "-"], { input: lines(changes.bridgeLines) });
    const done = changes.commands.length + changes.ipLines.length + changes.bridgeLines.length;
    if (done > 0) log.debug({ changes: done }, "overlay changed");
  };

  const announceSelf = async (
    self: Node,
    kind: OverlayBackend,
    mac: string,
    address: string,
  ): Promise<void> => {
    const present = self.metadata.annotations ?? {};
    const overwrite = config.externalIp ?? present[flannelAnnotation.publicIpOverwrite];
    const publicIp =
      overwrite !== undefined && tryParseAddress(overwrite)?.family === 4 ? overwrite : address;
    const wanted: Record<string, string> = {
      ...announce({ backend: kind, publicIp, vni: VXLAN_VNI, mac }),
      ...(config.externalIp === undefined
        ? {}
        : { [flannelAnnotation.publicIpOverwrite]: config.externalIp }),
    };
    if (Object.entries(wanted).every(([name, value]) => present[name] === value)) return;
    await api.patch(
      resources.nodes,
      config.nodeName,
      undefined,
      "merge",
      { metadata: { annotations: wanted } },
      { signal: stopping.signal },
    );
  };

  const service = createService({
    name: "pod-network",
    async start(signal) {
      await setKernelParameters(run, forwardingParameters);
      if (backend === undefined || nodes === undefined) {
        ready.resolve();
        return;
      }
      here = await detectNodeIp(run, {
        ...(config.nodeIp === undefined ? {} : { nodeIp: config.nodeIp }),
        ...(config.interface === undefined ? {} : { interface: config.interface }),
      });
      gatherer = createGatherer({
        clock,
        delayMs: 10,
        delayMaxMs: 200,
        work: () => reconcile(backend),
        onFailure: (error, retryMs) => {
          failure = error instanceof Error ? error.message : String(error);
          log.warn({ err: error, retryMs }, "the pod network could not be brought up to date");
        },
      });
      const begin = gatherer;
      source.start();
      // Before the list is complete, peers that are merely not known yet would lose their routes.
      nodes.whenSynced(AbortSignal.any([stopping.signal, signal])).then(
        () => {
          unsubscribe = nodes.subscribe({
            onAdd: () => begin.request(),
            onUpdate: (node, previous) => {
              if (relevant(node) !== relevant(previous)) begin.request();
            },
            onDelete: () => begin.request(),
          });
          begin.request();
        },
        () => {},
      );
    },
    async stop() {
      stopping.abort(new Error("the pod network stops"));
      unsubscribe?.();
      await gatherer?.stop();
      await source.stop();
    },
    health: () =>
      failure === undefined ? { status: "ok" } : { status: "failing", reason: failure },
  });
  return Object.assign(service, { whenReady: () => ready.promise });
}

/** What of a node matters here; its heartbeats do not. */
function relevant(node: Node): string {
  const annotations = node.metadata.annotations ?? {};
  return JSON.stringify([
    node.spec.podCIDRs ?? node.spec.podCIDR,
    Object.values(flannelAnnotation).map((name) => annotations[name]),
  ]);
}

/** A locally administered address that a node of this name gets again after a reboot. */
function macOf(nodeName: string): string {
  const digest = createHash("sha256").update(`wherry-vtep ${nodeName}`).digest();
  return [0x02, ...digest.subarray(0, 5)]
    .map((byte) => byte.toString(16).padStart(2, "0"))
    .join(":");
}

function lines(text: readonly string[]): string {
  return text.map((line) => `${line}\n`).join("");
}

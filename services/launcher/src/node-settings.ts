import { readFile, mkdir } from "node:fs/promises";
import { hostname } from "node:os";
import { dirname, join } from "node:path";
import { randomBytes } from "node:crypto";
import { tryParseAddress } from "@wherry/net";
import { writeSecret } from "@wherry/pki";
import { UsageError, type FlagValues, type ProcessContext } from "@wherry/service-kit";
import { isSet, listOf, pairsOf, textOf } from "./flag-values.ts";

/** What a node is told by its flags; the same for `server` and `agent`. */
export interface NodeSettings {
  readonly dataDir: string;
  readonly nodeName: string;
  readonly nodeIps: readonly string[];
  readonly nodeExternalIps: readonly string[];
  readonly nodeLabels: Readonly<Record<string, string>>;
  readonly nodeTaints: readonly NodeTaint[];
  readonly resolvConf: string;
  readonly flannelInterface: string | undefined;
  /** Socket of a containerd that runs already; undefined = a managed one. */
  readonly runtimeEndpoint: string | undefined;
  readonly kubeletRoot: string;
  readonly cgroupRoot: string;
  readonly podsMax: number;
}

export interface NodeTaint {
  readonly key: string;
  readonly value?: string;
  readonly effect: "NoSchedule" | "PreferNoSchedule" | "NoExecute";
}

const NODE_ID_FILE = "/etc/wherry/node/id";
const PAUSE_IMAGE = "wherry.local/pause:1";

export async function nodeSettingsOf(
  values: FlagValues,
  context: ProcessContext,
): Promise<NodeSettings> {
  const kubelet = kubeletArgs(values);
  const pauseImage = textOf(values, "pause-image");
  if (pauseImage !== undefined && pauseImage !== PAUSE_IMAGE)
    throw new UsageError(`--pause-image: only the built-in ${PAUSE_IMAGE} is supported`);
  return {
    dataDir: dataDirOf(values, context),
    nodeName: await nodeNameOf(values),
    nodeIps: addressesOf(values, "node-ip"),
    nodeExternalIps: addressesOf(values, "node-external-ip"),
    nodeLabels: pairsOf(values, "node-label"),
    nodeTaints: listOf(values, "node-taint").map(parseTaint),
    resolvConf: textOf(values, "resolv-conf") ?? "/etc/resolv.conf",
    flannelInterface: textOf(values, "flannel-iface"),
    runtimeEndpoint: textOf(values, "container-runtime-endpoint")?.replace(/^unix:\/\//, ""),
    kubeletRoot: kubelet.get("root-dir") ?? "/var/lib/kubelet",
    cgroupRoot: kubelet.get("cgroup-root") ?? "/",
    podsMax: Number(kubelet.get("max-pods") ?? 110),
  };
}

function addressesOf(values: FlagValues, name: string): readonly string[] {
  const texts = listOf(values, name);
  const wrong = texts.find((text) => tryParseAddress(text) === undefined);
  if (wrong !== undefined) throw new UsageError(`--${name} must be an IP address, not "${wrong}"`);
  return texts;
}

export function dataDirOf(values: FlagValues, context: ProcessContext): string {
  return (
    textOf(values, "data-dir") ??
    (context.isRoot ? "/var/lib/wherry" : join(context.env["HOME"] ?? "/tmp", ".wherry"))
  );
}

const KUBELET_ARGS = ["cgroup-root", "max-pods", "root-dir"];

/** The arguments of the kubelet that mean something here, by their names there. */
function kubeletArgs(values: FlagValues): Map<string, string> {
  const args = new Map(Object.entries(pairsOf(values, "kubelet-arg")));
  for (const [name, value] of args) {
    if (!KUBELET_ARGS.includes(name))
      throw new UsageError(
        `--kubelet-arg ${name} is not supported; supported are ${KUBELET_ARGS.join(", ")}`,
      );
    if (name === "max-pods" && !/^[1-9]\d*$/.test(value))
      throw new UsageError(`--kubelet-arg max-pods must be a whole number, not "${value}"`);
  }
  return args;
}

async function nodeNameOf(values: FlagValues): Promise<string> {
  const name = (textOf(values, "node-name") ?? hostname()).toLowerCase();
  if (!/^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/.test(name))
    throw new UsageError(
      `the node name "${name}" is not a valid DNS subdomain; choose one with --node-name`,
    );
  return isSet(values, "with-node-id") ? `${name}-${await machineId()}` : name;
}

/** Eight hexadecimal digits, made once per machine. */
async function machineId(): Promise<string> {
  const existing = await readFile(NODE_ID_FILE, "utf8").catch(() => "");
  if (existing.trim() !== "") return existing.trim();
  const id = randomBytes(4).toString("hex");
  await mkdir(dirname(NODE_ID_FILE), { recursive: true, mode: 0o700 });
  await writeSecret(NODE_ID_FILE, `${id}\n`);
  return id;
}

function parseTaint(text: string): NodeTaint {
  const [, key, value, effect] =
    /^([^=:]+)(?:=([^:]*))?:(NoSchedule|PreferNoSchedule|NoExecute)$/.exec(text) ?? [];
  if (key === undefined || effect === undefined)
    throw new UsageError(
      `--node-taint must be KEY=VALUE:EFFECT with effect NoSchedule, PreferNoSchedule or NoExecute, not "${text}"`,
    );
  return { key, effect: effect as NodeTaint["effect"], ...(value === undefined ? {} : { value }) };
}

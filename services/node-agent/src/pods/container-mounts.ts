import { chmod, mkdir, writeFile } from "node:fs/promises";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import type { Mount } from "@wherry/cri-api";
import type { Pod } from "@wherry/machinery";
import type { Mounter } from "../volumes/mounter.ts";
import { bindSubPath } from "../volumes/sub-path.ts";
import type { ReadyVolume } from "../volumes/volume-manager.ts";
import { ContainerConfigError } from "./environment.ts";
import type { Environment } from "./environment.ts";
import { expandVariables } from "./expansion.ts";
import { hostsFile } from "./hosts-file.ts";
import type { HostsFileInputs } from "./hosts-file.ts";
import { containerFolder, etcHostsPath, podFolder, subPathFolder } from "./pod-paths.ts";
import { podUid } from "./pod-types.ts";
import type { ContainerSpec, VolumeMountSpec } from "./pod-types.ts";

export interface MountInputs {
  readonly pod: Pod;
  readonly container: ContainerSpec;
  readonly volumes: readonly ReadyVolume[];
  readonly environment: Environment;
  readonly kubeletRoot: string;
  readonly mounter: Mounter;
  /** Undefined: the pod has no address yet, and no hosts file is mounted. */
  readonly hosts: HostsFileInputs | undefined;
}

export interface ContainerMounts {
  readonly mounts: readonly Mount[];
  /** Host file behind the container's termination message path. */
  readonly terminationLog: string | undefined;
}

const hostsMountPoint = "/etc/hosts";

/** Makes the files and binds that one new container instance needs, and lists its mounts. */
export async function prepareMounts(inputs: MountInputs): Promise<ContainerMounts> {
  const { container } = inputs;
  const mounts: Mount[] = [];
  if ((container.volumeDevices?.length ?? 0) > 0)
    throw new ContainerConfigError(
      "volumeDevices are not supported by this version of the node agent",
    );
  for (const [index, mount] of (container.volumeMounts ?? []).entries())
    mounts.push(await volumeMount(inputs, mount, index));
  if (inputs.hosts !== undefined && !mounts.some((one) => one.containerPath === hostsMountPoint))
    mounts.push(await hostsMount(inputs, inputs.hosts));
  const terminationLog = await terminationLogMount(inputs);
  if (terminationLog !== undefined) mounts.push(terminationLog);
  return { mounts, terminationLog: terminationLog?.hostPath };
}

async function volumeMount(
  inputs: MountInputs,
  mount: VolumeMountSpec,
  index: number,
): Promise<Mount> {
  const volume = inputs.volumes.find((one) => one.name === mount.name);
  if (volume === undefined)
    throw new ContainerConfigError(
      `cannot find volume "${mount.name}" to mount into container "${inputs.container.name}"`,
    );
  if (mount.recursiveReadOnly === "Enabled")
    throw new ContainerConfigError(
      `volume mount ${mount.name}: recursiveReadOnly "Enabled" is not supported by this version of the node agent`,
    );
  return {
    containerPath: mount.mountPath.startsWith("/") ? mount.mountPath : `/${mount.mountPath}`,
    hostPath: await hostPathOf(inputs, mount, volume, index),
    readonly: mount.readOnly === true || volume.readOnly,
    propagation: {
      HostToContainer: "HOST_TO_CONTAINER",
      Bidirectional: "BIDIRECTIONAL",
      None: "PRIVATE",
    }[mount.mountPropagation ?? "None"] as Mount["propagation"],
  };
}

async function hostPathOf(
  { pod, container, environment, kubeletRoot, mounter }: MountInputs,
  mount: VolumeMountSpec,
  volume: ReadyVolume,
  index: number,
): Promise<string> {
  const variables = new Map(environment.map((one) => [one.key, one.value]));
  const unknown: string[] = [];
  const expanded = expandVariables(mount.subPathExpr ?? "", (name) => {
    const value = variables.get(name);
    if (value === undefined) unknown.push(name);
    return value;
  });
  if (unknown.length > 0) throw new ContainerConfigError(`missing value for "${unknown[0]}"`);
  const subPath = expanded === "" ? (mount.subPath ?? "") : expanded;
  if (subPath === "") return volume.hostPath;
  const target = join(
    subPathFolder(kubeletRoot, podUid(pod)),
    volume.name,
    container.name,
    String(index),
  );
  try {
    return await bindSubPath(
      { volumePath: volume.hostPath, subPath, target, mode: 0o750 },
      mounter,
    );
  } catch (error) {
    throw new ContainerConfigError(
      `failed to prepare subPath for volumeMount "${mount.name}" of container "${container.name}": ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}

async function hostsMount(
  { pod, kubeletRoot, container }: MountInputs,
  hosts: HostsFileInputs,
): Promise<Mount> {
  const path = etcHostsPath(kubeletRoot, podUid(pod));
  await mkdir(podFolder(kubeletRoot, podUid(pod)), { recursive: true, mode: 0o750 });
  await writeFile(path, hostsFile(hosts), { mode: 0o644 });
  await chmod(path, 0o644);
  return {
    hostPath: path,
    containerPath: hostsMountPoint,
    readonly: container.securityContext?.readOnlyRootFilesystem === true,
    propagation: "PRIVATE",
  };
}

async function terminationLogMount({
  pod,
  container,
  kubeletRoot,
}: MountInputs): Promise<Mount | undefined> {
  const containerPath = container.terminationMessagePath ?? "";
  if (containerPath === "") return undefined;
  const folder = containerFolder(kubeletRoot, podUid(pod), container.name);
  await mkdir(folder, { recursive: true, mode: 0o750 });
  const hostPath = join(folder, randomBytes(4).toString("hex"));
  await writeFile(hostPath, "");
  // Any user inside must be able to write its last words, and the process' mask may forbid it.
  await chmod(hostPath, 0o666);
  return { hostPath, containerPath, readonly: false, propagation: "PRIVATE" };
}

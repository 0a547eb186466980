import { chmod, mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Pod } from "@wherry/machinery";
import type { Clock, Logger, Timer } from "@wherry/service-kit";
import { memoryBytes } from "../pods/amounts.ts";
import type { PodFacts } from "../pods/field-reference.ts";
import { podFolder, subPathFolder, volumeFolder } from "../pods/pod-paths.ts";
import { podSpec, podUid } from "../pods/pod-types.ts";
import type { VolumeSpec } from "../pods/pod-types.ts";
import { podLimits } from "../pods/qos.ts";
import { writeAtomically } from "./atomic-writer.ts";
import { prepareHostPath } from "./host-path.ts";
import type { Mounter } from "./mounter.ts";
import { applyFsGroup } from "./ownership.ts";
import { volumePayload } from "./payload.ts";
import type { ReferenceCache } from "./references.ts";
import type { ServiceAccountTokens } from "./service-account-tokens.ts";
import { VolumeError } from "./volume-error.ts";

export interface ReadyVolume {
  readonly name: string;
  readonly hostPath: string;
  /** Its contents are the agent's: containers never write them. */
  readonly readOnly: boolean;
  /** Contents are swapped through links (configMap, secret, downwardAPI, projected). */
  readonly atomic: boolean;
}

/** The volumes of the pods on this node. Calls for one pod come one at a time (its worker makes them); different pods do not wait for each other. */
export interface VolumeManager {
  /** Makes every volume of the pod ready, or throws a `VolumeSetupError` for the first that is not. Idempotent. */
  setUp(pod: Pod, facts: PodFacts): Promise<readonly ReadyVolume[]>;
  /** Rewrites what follows from configMaps, secrets, tokens and the pod itself. Failures are reported and tried again later. */
  refresh(pod: Pod, facts: PodFacts): Promise<void>;
  /** Unmounts everything of a pod, keeps nothing but its folder. */
  tearDown(uid: string): Promise<void>;
  /** Removes the pod's folder, after `tearDown`. */
  remove(uid: string): Promise<void>;
  stop(): void;
}

/** One volume's failure, in the words of the FailedMount event. */
export class VolumeSetupError extends Error {
  readonly volume: string;

  constructor(volume: string, cause: unknown) {
    super(
      `MountVolume.SetUp failed for volume "${volume}" : ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause },
    );
    this.name = "VolumeSetupError";
    this.volume = volume;
  }
}

export interface VolumeManagerDeps {
  readonly kubeletRoot: string;
  readonly mounter: Mounter;
  readonly references: ReferenceCache;
  readonly tokens: ServiceAccountTokens;
  readonly clock: Clock;
  readonly log: Logger;
  /** A token of the pod is due; the worker is expected to call `refresh`. */
  readonly onRefreshDue: (uid: string) => void;
}

const secretTmpfsBytes = 1024 * 1024;
/** A refresh that failed is due again after this time. */
const refreshRetryMs = 60_000;

export function createVolumeManager(deps: VolumeManagerDeps): VolumeManager {
  const { kubeletRoot, mounter, references, tokens, clock } = deps;
  const timers = new Map<string, Timer>();

  const armRefresh = (uid: string): void => {
    timers.get(uid)?.cancel();
    timers.delete(uid);
    const dueMs = tokens.refreshAtMs(uid);
    if (dueMs === undefined) return;
    const delayMs = dueMs > clock.now() ? dueMs - clock.now() : refreshRetryMs;
    timers.set(
      uid,
      clock.setTimer(delayMs, () => deps.onRefreshDue(uid)),
    );
  };

  const folderOf = (pod: Pod, plugin: string, volume: VolumeSpec): string =>
    volumeFolder(kubeletRoot, podUid(pod), plugin, volume.name);

  const writePayload = async (
    pod: Pod,
    volume: VolumeSpec,
    facts: PodFacts,
  ): Promise<ReadyVolume | undefined> => {
    const namespace = pod.metadata.namespace ?? "";
    const payload = await volumePayload(pod, volume, {
      configMap: (name) => references.configMap(namespace, name),
      secret: (name) => references.secret(namespace, name),
      token: (source) => tokens.get(pod, source),
      facts: () => facts,
    });
    if (payload === undefined) return undefined;
    const hostPath = folderOf(pod, atomicPlugin(volume), volume);
    await makeFolder(hostPath, 0o777);
    if (volume.secret !== undefined || volume.projected !== undefined) {
      await mounter.mountTmpfs(hostPath, {
        sizeBytes: secretTmpfsBytes * Math.ceil(1 + payloadBytes(payload) / secretTmpfsBytes),
        noSwap: true,
      });
      await chmod(hostPath, 0o777);
    }
    const fsGroup = podSpec(pod).securityContext?.fsGroup;
    await writeAtomically(hostPath, payload, { fsGroup });
    return { name: volume.name, hostPath, readOnly: true, atomic: true };
  };

  const setUpOne = async (pod: Pod, volume: VolumeSpec, facts: PodFacts): Promise<ReadyVolume> => {
    const written = await writePayload(pod, volume, facts);
    if (written !== undefined) return written;
    if (volume.emptyDir !== undefined) return setUpEmptyDir(pod, volume);
    if (volume.hostPath !== undefined) {
      await prepareHostPath(volume.hostPath.path, volume.hostPath.type ?? "");
      return { name: volume.name, hostPath: volume.hostPath.path, readOnly: false, atomic: false };
    }
    throw new VolumeError("unsupported", unsupportedText(volume));
  };

  const setUpEmptyDir = async (pod: Pod, volume: VolumeSpec): Promise<ReadyVolume> => {
    const hostPath = folderOf(pod, "empty-dir", volume);
    const { medium = "", sizeLimit } = volume.emptyDir ?? {};
    const fresh = await makeFolder(hostPath, 0o777);
    if (medium === "Memory") {
      const limits = [memoryBytes(sizeLimit), podLimits(pod)["memory"] ?? 0].filter(
        (bytes) => bytes > 0,
      );
      await mounter.mountTmpfs(hostPath, {
        sizeBytes: limits.length === 0 ? undefined : Math.min(...limits),
        noSwap: true,
      });
      await chmod(hostPath, 0o777);
    } else if (medium !== "")
      throw new VolumeError(
        "unsupported",
        `emptyDir medium ${JSON.stringify(medium)} is not supported by this version`,
      );
    const security = podSpec(pod).securityContext;
    if (security?.fsGroup !== undefined && fresh)
      await applyFsGroup(
        hostPath,
        security.fsGroup,
        security.fsGroupChangePolicy === "OnRootMismatch" ? "OnRootMismatch" : "Always",
        false,
      );
    return { name: volume.name, hostPath, readOnly: false, atomic: false };
  };

  return {
    async setUp(pod, facts) {
      references.retain(pod);
      const ready: ReadyVolume[] = [];
      for (const volume of podSpec(pod).volumes ?? []) {
        try {
          ready.push(await setUpOne(pod, volume, facts));
        } catch (error) {
          throw new VolumeSetupError(volume.name, error);
        }
      }
      armRefresh(podUid(pod));
      return ready;
    },
    async refresh(pod, facts) {
      for (const volume of podSpec(pod).volumes ?? []) {
        try {
          await writePayload(pod, volume, facts);
        } catch (error) {
          // The old contents serve on, as they do while an object that is named is deleted.
          deps.log.warn(
            {
              err: error,
              namespace: pod.metadata.namespace,
              name: pod.metadata.name,
              volume: volume.name,
            },
            "refreshing a volume failed, its old contents stay",
          );
        }
      }
      armRefresh(podUid(pod));
    },
    async tearDown(uid) {
      timers.get(uid)?.cancel();
      timers.delete(uid);
      references.release(uid);
      tokens.release(uid);
      const folder = podFolder(kubeletRoot, uid);
      // Sub-paths are bound out of volumes, so they go first; within one tree the deepest goes first.
      for (const prefix of [subPathFolder(kubeletRoot, uid), folder]) {
        for (const point of await mounter.mountsBelow(prefix)) await mounter.unmount(point);
      }
      await rm(join(folder, "volume-subpaths"), { recursive: true, force: true });
      await rm(join(folder, "volumes"), { recursive: true, force: true });
    },
    async remove(uid) {
      const folder = podFolder(kubeletRoot, uid);
      const left = await mounter.mountsBelow(folder);
      if (left.length > 0)
        throw new VolumeError("io", `${left[0]} is still mounted, so ${folder} is not removed`);
      await rm(folder, { recursive: true, force: true });
    },
    stop() {
      for (const timer of timers.values()) timer.cancel();
      timers.clear();
      references.stop();
    },
  };
}

/** Whether the folder was made now. The process' mask does not apply. */
async function makeFolder(path: string, mode: number): Promise<boolean> {
  const created = await mkdir(path, { recursive: true, mode: 0o750 });
  if (created === undefined) return false;
  await chmod(path, mode);
  return true;
}

function atomicPlugin(volume: VolumeSpec): string {
  if (volume.configMap !== undefined) return "configmap";
  if (volume.secret !== undefined) return "secret";
  return volume.downwardAPI === undefined ? "projected" : "downward-api";
}

function payloadBytes(payload: ReadonlyMap<string, { readonly data: Uint8Array }>): number {
  return payload.values().reduce((sum, file) => sum + file.data.byteLength, 0);
}

function unsupportedText(volume: VolumeSpec): string {
  const kind = Object.keys(volume).find((key) => key !== "name") ?? "unknown";
  const claim = volume.persistentVolumeClaim?.claimName;
  if (claim !== undefined)
    return `persistentvolumeclaim "${claim}": persistent volumes are not supported by this version of the node agent`;
  return `volumes of kind ${kind} are not supported by this version of the node agent`;
}

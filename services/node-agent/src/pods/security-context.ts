import type {
  ContainerSecurityContext,
  Image,
  NamespaceOptions,
  SandboxSecurityContext,
  SeccompProfile,
} from "@wherry/cri-api";
import type { Pod } from "@wherry/machinery";
import { ContainerConfigError } from "./environment.ts";
import { allContainers, formatPod, podSpec } from "./pod-types.ts";
import type { ContainerSpec, PodSecurityContext, SecurityContext } from "./pod-types.ts";

const maskedPaths = [
  "/proc/asound",
  "/proc/acpi",
  "/proc/interrupts",
  "/proc/kcore",
  "/proc/keys",
  "/proc/latency_stats",
  "/proc/timer_list",
  "/proc/timer_stats",
  "/proc/sched_debug",
  "/proc/scsi",
  "/sys/firmware",
  "/sys/devices/virtual/powercap",
] as const;
const readonlyPaths = [
  "/proc/bus",
  "/proc/fs",
  "/proc/irq",
  "/proc/sys",
  "/proc/sysrq-trigger",
] as const;

export function namespaceOptions(pod: Pod): NamespaceOptions {
  const spec = podSpec(pod);
  return {
    network: spec.hostNetwork === true ? "NODE" : "POD",
    pid: spec.hostPID === true ? "NODE" : spec.shareProcessNamespace === true ? "POD" : "CONTAINER",
    ipc: spec.hostIPC === true ? "NODE" : "POD",
  };
}

export function isPrivileged(container: ContainerSpec): boolean {
  return container.securityContext?.privileged === true;
}

export function sandboxSecurityContext(pod: Pod): SandboxSecurityContext {
  const context = podSpec(pod).securityContext;
  return {
    namespaceOptions: namespaceOptions(pod),
    privileged: allContainers(pod).some((one) => isPrivileged(one.spec)),
    ...(context?.runAsUser === undefined ? {} : { runAsUser: context.runAsUser }),
    ...(context?.runAsGroup === undefined || context.runAsUser === undefined
      ? {}
      : { runAsGroup: context.runAsGroup }),
    supplementalGroups: supplementalGroups(context),
    readonlyRootfs: false,
    // The pause process needs nothing; containers' own profiles are theirs.
    seccomp: { profileType: "RuntimeDefault" },
  };
}

/** The effective context of one container: its own settings over the pod's, over the image's user. Throws when `runAsNonRoot` cannot be kept. */
export function containerSecurityContext(
  pod: Pod,
  container: ContainerSpec,
  image: Image | undefined,
  targetId?: string,
): ContainerSecurityContext {
  const own = container.securityContext;
  const whole = podSpec(pod).securityContext;
  const privileged = isPrivileged(container);
  const user = effectiveUser(pod, container, image);
  const group = own?.runAsGroup ?? whole?.runAsGroup;
  const unmasked = privileged || own?.procMount === "Unmasked";
  return {
    namespaceOptions:
      targetId === undefined
        ? namespaceOptions(pod)
        : { ...namespaceOptions(pod), pid: "TARGET", targetId },
    privileged,
    capabilities: { add: own?.capabilities?.add ?? [], drop: own?.capabilities?.drop ?? [] },
    ...user,
    ...(group === undefined ? {} : { runAsGroup: group }),
    supplementalGroups: supplementalGroups(whole),
    readonlyRootfs: own?.readOnlyRootFilesystem === true,
    noNewPrivileges: own?.allowPrivilegeEscalation === false,
    maskedPaths: unmasked ? [] : maskedPaths,
    readonlyPaths: unmasked ? [] : readonlyPaths,
    seccomp: privileged ? { profileType: "Unconfined" } : seccompProfile(own, whole),
  };
}

function effectiveUser(
  pod: Pod,
  container: ContainerSpec,
  image: Image | undefined,
): { readonly runAsUser?: number; readonly runAsUsername?: string } {
  const own = container.securityContext;
  const whole = podSpec(pod).securityContext;
  const runAsUser = own?.runAsUser ?? whole?.runAsUser;
  const nonRoot = own?.runAsNonRoot ?? whole?.runAsNonRoot ?? false;
  const where = `(pod: "${formatPod(pod)}", container: ${container.name})`;
  if (runAsUser !== undefined) {
    if (nonRoot && runAsUser === 0)
      throw new ContainerConfigError(`container's runAsUser breaks non-root policy ${where}`);
    return { runAsUser };
  }
  const imageUid = image?.user?.uid;
  const imageName = image?.user?.username ?? "";
  if (nonRoot && imageName !== "")
    throw new ContainerConfigError(
      `container has runAsNonRoot and image has non-numeric user (${imageName}), cannot verify user is non-root ${where}`,
    );
  if (nonRoot && (imageUid ?? 0) === 0)
    throw new ContainerConfigError(
      `container has runAsNonRoot and image will run as root ${where}`,
    );
  if (imageUid !== undefined) return { runAsUser: imageUid };
  return imageName === "" ? {} : { runAsUsername: imageName };
}

function supplementalGroups(context: PodSecurityContext | undefined): readonly number[] {
  const groups = [...(context?.supplementalGroups ?? [])];
  if (context?.fsGroup !== undefined) groups.push(context.fsGroup);
  return groups;
}

function seccompProfile(
  own: SecurityContext | undefined,
  whole: PodSecurityContext | undefined,
): SeccompProfile {
  const profile = own?.seccompProfile ?? whole?.seccompProfile;
  if (profile?.type === "RuntimeDefault") return { profileType: "RuntimeDefault" };
  if (profile?.type === "Localhost")
    return { profileType: "Localhost", localhostRef: profile.localhostProfile ?? "" };
  return { profileType: "Unconfined" };
}

import type {
  CriContainerConfig,
  CriLinuxContainerResources,
  CriLinuxContainerSecurityContext,
  CriLinuxSandboxSecurityContext,
  CriMountPropagation,
  CriNamespaceOption,
  CriPodSandboxConfig,
  CriSecurityProfile,
} from "../gen/cri.js";
import type {
  ContainerConfig,
  ContainerResources,
  ContainerSecurityContext,
  Mount,
  NamespaceOptions,
  PodSandboxConfig,
  SandboxSecurityContext,
  SeccompProfile,
} from "../runtime.ts";

export function sandboxConfigMessage(config: PodSandboxConfig): CriPodSandboxConfig {
  return {
    metadata: config.metadata,
    // A pod in the host's network shares the host's UTS namespace too, where runc refuses to set a name.
    hostname:
      config.linux.securityContext.namespaceOptions.network === "NODE" ? "" : config.hostname,
    log_directory: config.logDirectory,
    dns_config: config.dnsConfig,
    port_mappings: config.portMappings.map((mapping) => ({
      protocol: mapping.protocol,
      container_port: mapping.containerPort,
      host_port: mapping.hostPort,
      host_ip: mapping.hostIp,
    })),
    labels: config.labels,
    annotations: config.annotations,
    linux: {
      cgroup_parent: config.linux.cgroupParent,
      sysctls: config.linux.sysctls,
      security_context: sandboxSecurityMessage(config.linux.securityContext),
    },
  };
}

export function containerConfigMessage(config: ContainerConfig): CriContainerConfig {
  return {
    metadata: config.metadata,
    image: { image: config.image },
    command: config.command,
    args: config.args,
    working_dir: config.workingDir,
    envs: config.envs.map(({ key, value }) => ({ key, value: Buffer.from(value) })),
    mounts: config.mounts.map((mount) => ({
      container_path: mount.containerPath,
      host_path: mount.hostPath,
      readonly: mount.readonly,
      propagation: PROPAGATIONS[mount.propagation],
    })),
    devices: config.devices.map((device) => ({
      container_path: device.containerPath,
      host_path: device.hostPath,
      permissions: device.permissions,
    })),
    labels: config.labels,
    annotations: config.annotations,
    log_path: config.logPath,
    stdin: config.stdin,
    stdin_once: config.stdinOnce,
    tty: config.tty,
    linux: {
      resources: resourcesMessage(config.linux.resources),
      security_context: containerSecurityMessage(config.linux.securityContext),
    },
  };
}

export function resourcesMessage(resources: ContainerResources): CriLinuxContainerResources {
  return {
    cpu_period: resources.cpuPeriod,
    cpu_quota: resources.cpuQuota,
    cpu_shares: resources.cpuShares,
    memory_limit_in_bytes: resources.memoryLimitInBytes,
    oom_score_adj: resources.oomScoreAdj,
  };
}

const PROPAGATIONS: Readonly<Record<Mount["propagation"], CriMountPropagation>> = {
  PRIVATE: "PROPAGATION_PRIVATE",
  HOST_TO_CONTAINER: "PROPAGATION_HOST_TO_CONTAINER",
  BIDIRECTIONAL: "PROPAGATION_BIDIRECTIONAL",
};

function sandboxSecurityMessage(context: SandboxSecurityContext): CriLinuxSandboxSecurityContext {
  return {
    namespace_options: namespacesMessage(context.namespaceOptions),
    privileged: context.privileged,
    run_as_user: wrapped(context.runAsUser),
    run_as_group: wrapped(context.runAsGroup),
    supplemental_groups: context.supplementalGroups,
    readonly_rootfs: context.readonlyRootfs,
    seccomp: seccompMessage(context.seccomp),
  };
}

function containerSecurityMessage(
  context: ContainerSecurityContext,
): CriLinuxContainerSecurityContext {
  return {
    namespace_options: namespacesMessage(context.namespaceOptions),
    privileged: context.privileged,
    capabilities: {
      add_capabilities: context.capabilities.add,
      drop_capabilities: context.capabilities.drop,
    },
    run_as_user: wrapped(context.runAsUser),
    run_as_group: wrapped(context.runAsGroup),
    run_as_username: context.runAsUsername,
    supplemental_groups: context.supplementalGroups,
    readonly_rootfs: context.readonlyRootfs,
    no_new_privs: context.noNewPrivileges,
    masked_paths: context.maskedPaths,
    readonly_paths: context.readonlyPaths,
    seccomp: seccompMessage(context.seccomp),
  };
}

function namespacesMessage(options: NamespaceOptions): CriNamespaceOption {
  return {
    network: options.network,
    pid: options.pid,
    ipc: options.ipc,
    target_id: options.targetId,
  };
}

function seccompMessage(profile: SeccompProfile | undefined): CriSecurityProfile | undefined {
  return profile === undefined
    ? undefined
    : { profile_type: profile.profileType, localhost_ref: profile.localhostRef };
}

/** A number that may be absent travels in a message of its own, so that 0 (root) differs from unset. */
function wrapped(value: number | undefined): { readonly value: number } | undefined {
  return value === undefined ? undefined : { value };
}

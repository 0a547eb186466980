import type { ContainerdVersion } from "./programs.ts";

export interface ContainerdSettings {
  readonly version: ContainerdVersion;
  readonly root: string;
  readonly state: string;
  readonly socket: string;
  readonly sandboxImage: string;
  readonly snapshotter: string;
  readonly cniBinDirs: readonly string[];
  readonly cniConfDir: string;
  /** Holds a folder with a `hosts.toml` per registry. */
  readonly registryConfigDir: string;
  /** Absolute paths by handler name. */
  readonly runtimes: Readonly<Record<string, string>>;
  readonly defaultRuntime: string;
  readonly systemdCgroup: boolean;
  readonly disableAppArmor: boolean;
  /** Leaves OOM scores as they are where lowering them is not permitted. */
  readonly restrictOomScore: boolean;
}

/** OOM score of containerd itself, as upstream recommends it; 0 where it may not be lowered. */
const CONTAINERD_OOM_SCORE = -999;

/** Snapshotters and tracers that only log errors when their kernel module or endpoint is missing. */
const DISABLED_PLUGINS_V1 = [
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
  "io.containerd.internal.v1.tracing",
  "io.containerd.tracing.processor.v1.otlp",
];
const DISABLED_PLUGINS_V2 = [
  "io.containerd.snapshotter.v1.blockfile",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.erofs",
  "io.containerd.snapshotter.v1.zfs",
  "io.containerd.differ.v1.erofs",
  "io.containerd.internal.v1.tracing",
  "io.containerd.tracing.processor.v1.otlp",
  "io.containerd.nri.v1.nri",
];

/** containerd's configuration file: form 2 for 1.x, form 3 from 2.0 on. */
export function containerdConfig(settings: ContainerdSettings): string {
  return settings.version.major === 1 ? configForm2(settings) : configForm3(settings);
}

function configForm2(settings: ContainerdSettings): string {
  const cri = "io.containerd.grpc.v1.cri";
  return toml([
    [undefined, { version: 2, ...head(settings), disabled_plugins: DISABLED_PLUGINS_V1 }],
    ["grpc", { address: settings.socket }],
    [table("io.containerd.internal.v1.opt"), { path: `${settings.root}/opt` }],
    [
      table(cri),
      {
        sandbox_image: settings.sandboxImage,
        stream_server_address: "127.0.0.1",
        stream_server_port: "0",
        ...runtimeFlags(settings),
      },
    ],
    [
      table(cri, "cni"),
      { bin_dir: settings.cniBinDirs[0] ?? "", conf_dir: settings.cniConfDir, max_conf_num: 1 },
    ],
    [
      table(cri, "containerd"),
      { snapshotter: settings.snapshotter, default_runtime_name: settings.defaultRuntime },
    ],
    ...runtimeTables(cri, settings),
    [table(cri, "registry"), { config_path: settings.registryConfigDir }],
  ]);
}

function configForm3(settings: ContainerdSettings): string {
  const images = "io.containerd.cri.v1.images";
  const runtime = "io.containerd.cri.v1.runtime";
  return toml([
    [undefined, { version: 3, ...head(settings), disabled_plugins: DISABLED_PLUGINS_V2 }],
    ["grpc", { address: settings.socket }],
    [table("io.containerd.internal.v1.opt"), { path: `${settings.root}/opt` }],
    [
      table("io.containerd.grpc.v1.cri"),
      { stream_server_address: "127.0.0.1", stream_server_port: "0" },
    ],
    [table(images), { snapshotter: settings.snapshotter }],
    [table(images, "pinned_images"), { sandbox: settings.sandboxImage }],
    [table(images, "registry"), { config_path: settings.registryConfigDir }],
    [table(runtime), runtimeFlags(settings)],
    [
      table(runtime, "cni"),
      {
        bin_dirs: settings.cniBinDirs,
        conf_dir: settings.cniConfDir,
        max_conf_num: 1,
        use_internal_loopback: true,
      },
    ],
    [table(runtime, "containerd"), { default_runtime_name: settings.defaultRuntime }],
    ...runtimeTables(runtime, settings),
  ]);
}

type Value = string | number | boolean | readonly string[];
type Table = readonly [name: string | undefined, values: Readonly<Record<string, Value>>];

function head(settings: ContainerdSettings): Record<string, Value> {
  return {
    root: settings.root,
    state: settings.state,
    oom_score: settings.restrictOomScore ? 0 : CONTAINERD_OOM_SCORE,
  };
}

function runtimeFlags(settings: ContainerdSettings): Record<string, Value> {
  return {
    disable_apparmor: settings.disableAppArmor,
    restrict_oom_score_adj: settings.restrictOomScore,
    enable_unprivileged_ports: true,
    enable_unprivileged_icmp: true,
    netns_mounts_under_state_dir: true,
  };
}

function runtimeTables(plugin: string, settings: ContainerdSettings): Table[] {
  return Object.entries(settings.runtimes).flatMap(([name, program]): Table[] => [
    [table(plugin, "containerd", "runtimes", name), { runtime_type: "io.containerd.runc.v2" }],
    [
      table(plugin, "containerd", "runtimes", name, "options"),
      // Its own root, else every containerd on the machine shares runc's default one.
      {
        SystemdCgroup: settings.systemdCgroup,
        BinaryName: program,
        Root: `${settings.state}/${name}`,
      },
    ],
  ]);
}

function table(plugin: string, ...path: readonly string[]): string {
  return ["plugins", JSON.stringify(plugin), ...path].join(".");
}

function toml(tables: readonly Table[]): string {
  const body = tables.map(([name, values]) => {
    const lines = Object.entries(values).map(([key, value]) => `${key} = ${JSON.stringify(value)}`);
    return [...(name === undefined ? [] : [`[${name}]`]), ...lines, ""].join("\n");
  });
  return `# Written at every start; changes are lost.\n${body.join("\n")}`;
}

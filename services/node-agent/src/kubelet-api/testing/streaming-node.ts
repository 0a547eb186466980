import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ContainerConfig, ContainerRuntime, PodSandboxConfig } from "@wherry/cri-api";
import type { Pod } from "@wherry/machinery";
import { silentLogger } from "@wherry/service-kit";
import { runtimeLabel } from "../../pods/runtime-labels.ts";
import { createKubeletApi } from "../kubelet-api.ts";
import { startFakeApiserver } from "./fake-apiserver.ts";

export interface StreamingNode {
  readonly url: string;
  readonly runtime: ContainerRuntime;
  readonly logFolder: string;
  /** Starts a pod with one container, `main`, in the host's network. */
  runPod(
    name: string,
    script: string,
    change?: Partial<ContainerConfig>,
  ): Promise<{
    readonly sandboxId: string;
    readonly containerId: string;
    restart(script: string): Promise<string>;
  }>;
  stop(): Promise<void>;
}

/** The kubelet API over a runtime, behind a fake API server: everything between kubectl and a container. */
export async function startStreamingNode(
  runtime: ContainerRuntime,
  image: string,
): Promise<StreamingNode> {
  const pods: Pod[] = [];
  const folder = await mkdtemp(join(tmpdir(), "wherry-streaming-"));
  const directory = {
    list: () => pods,
    find: (namespace: string, name: string) =>
      pods.find((pod) => pod.metadata.namespace === namespace && pod.metadata.name === name),
  };
  const kubelet = createKubeletApi({
    nodeName: "node",
    runtime,
    pods: directory,
    log: silentLogger,
  });
  const apiserver = await startFakeApiserver(kubelet, () => pods);
  await runtime.imageStatus(image);
  return {
    url: apiserver.url,
    runtime,
    logFolder: folder,
    async runPod(name, script, change = {}) {
      const uid = `uid-${name}`;
      const labels = {
        [runtimeLabel.podName]: name,
        [runtimeLabel.podNamespace]: "default",
        [runtimeLabel.podUid]: uid,
      };
      const sandbox = sandboxConfig(name, uid, labels, join(folder, name));
      const sandboxId = await runtime.runPodSandbox(sandbox);
      const start = async (command: string, attempt: number): Promise<string> => {
        const id = await runtime.createContainer(
          sandboxId,
          { ...containerConfig(image, command, attempt, labels), ...change },
          sandbox,
        );
        await runtime.startContainer(id);
        return id;
      };
      const containerId = await start(script, 0);
      pods.push({
        metadata: { name, namespace: "default", uid },
        spec: {
          containers: [
            { name: "main", image, stdin: change.stdin ?? false, tty: change.tty ?? false },
          ],
        },
        status: { phase: "Running", containerStatuses: [] },
      });
      let attempt = 0;
      return { sandboxId, containerId, restart: (command) => start(command, ++attempt) };
    },
    async stop() {
      kubelet.close();
      await apiserver.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

function sandboxConfig(
  name: string,
  uid: string,
  labels: Readonly<Record<string, string>>,
  logDirectory: string,
): PodSandboxConfig {
  return {
    metadata: { name, uid, namespace: "default", attempt: 0 },
    hostname: name,
    logDirectory,
    portMappings: [],
    labels,
    annotations: {},
    linux: {
      cgroupParent: "",
      sysctls: {},
      securityContext: {
        namespaceOptions: { network: "NODE", pid: "CONTAINER", ipc: "POD" },
        privileged: false,
        supplementalGroups: [],
        readonlyRootfs: false,
      },
    },
  };
}

function containerConfig(
  image: string,
  script: string,
  attempt: number,
  labels: Readonly<Record<string, string>>,
): ContainerConfig {
  return {
    metadata: { name: "main", attempt },
    image,
    command: ["sh", "-c", script],
    args: [],
    workingDir: "",
    envs: [],
    mounts: [],
    devices: [],
    labels: { ...labels, [runtimeLabel.containerName]: "main" },
    annotations: {},
    logPath: `main/${attempt}.log`,
    stdin: false,
    stdinOnce: false,
    tty: false,
    linux: {
      resources: {},
      securityContext: {
        namespaceOptions: { network: "NODE", pid: "CONTAINER", ipc: "POD" },
        privileged: false,
        capabilities: { add: [], drop: [] },
        supplementalGroups: [],
        readonlyRootfs: false,
        noNewPrivileges: false,
        maskedPaths: [],
        readonlyPaths: [],
      },
    },
  };
}

/** Every service in a process of its own, joined over gRPC and HTTPS, and two nodes: one on the servers' machine, one on a machine of its own. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ensureClusterFiles, type ClusterFiles } from "@wherry/launcher";
import { buildKubeconfig, type KeyPair } from "@wherry/pki";
import { createLab, type Machine } from "@wherry/testkit";
import { assemble, startProgram, type Cluster, type Program } from "./cluster.ts";
import { placeSampleImages } from "./sample-images.ts";

export async function startSplit(): Promise<Cluster> {
  const lab = await createLab();
  const server = await lab.addMachine("server");
  const second = await lab.addMachine("second");
  const dataDir = join(server.folder, "control");
  const files = await ensureClusterFiles({
    dataDir,
    clusterDomain: "cluster.local",
    serverNames: ["server"],
    serverIps: [server.ip],
    apiserverServiceIp: "10.43.0.1",
    token: undefined,
    agentToken: undefined,
    nowMs: Date.now(),
  });
  const kubeconfig = await writeKubeconfigs(server, files);
  const nodes = [server, second];
  for (const machine of nodes) await placeSampleImages(dataDirOf(machine));
  let programs: Program[] = [];
  const start = async (): Promise<void> => {
    programs = [];
    for (const [name, args] of commands(server, dataDir))
      programs.push(await startProgram(server, name, args));
    for (const machine of nodes)
      programs.push(await startProgram(machine, "agent", agentArgs(machine, server, files)));
  };
  await start();
  return await assemble({
    kind: "split",
    lab,
    server,
    nodes,
    kubeconfig,
    programs: () => programs,
    dataDirs: new Map(nodes.map((machine) => [machine, dataDirOf(machine)])),
    kill: async () => {
      await Promise.all(programs.map((program) => program.kill("SIGKILL")));
    },
    restart: start,
  });
}

const dataDirOf = (machine: Machine): string => join(machine.folder, "data");

function commands(server: Machine, dataDir: string): [name: string, args: string[]][] {
  const tls = join(dataDir, "server/tls");
  const kubeconfigOf = (name: string): string => join(server.folder, `${name}.yaml`);
  return [
    [
      "datastore",
      [
        "datastore",
        "--endpoint",
        `sqlite://${join(dataDir, "state.db")}`,
        "--listen",
        "127.0.0.1:2379",
      ],
    ],
    [
      "apiserver",
      [
        "apiserver",
        "--etcd-servers=http://127.0.0.1:2379",
        `--bind-address=${server.ip}`,
        "--secure-port=6444",
        `--advertise-address=${server.ip}`,
        `--tls-cert-file=${tls}/serving-kube-apiserver.crt`,
        `--tls-private-key-file=${tls}/serving-kube-apiserver.key`,
        `--client-ca-file=${tls}/client-ca.crt`,
        `--requestheader-client-ca-file=${tls}/request-header-ca.crt`,
        "--requestheader-allowed-names=system:auth-proxy",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        `--service-account-signing-key-file=${tls}/service.key`,
        "--service-cluster-ip-range=10.43.0.0/16",
        "--egress-proxy-url=https://127.0.0.1:6443",
        `--kubelet-certificate-authority=${tls}/server-ca.crt`,
        `--kubelet-client-certificate=${tls}/client-kube-apiserver.crt`,
        `--kubelet-client-key=${tls}/client-kube-apiserver.key`,
      ],
    ],
    [
      "tunnel-proxy",
      [
        "tunnel-proxy",
        `--apiserver=https://${server.ip}:6444`,
        `--kubeconfig=${kubeconfigOf("supervisor")}`,
        `--tls-dir=${tls}`,
        `--token-file=${join(dataDir, "server/token")}`,
        `--advertise-address=${server.ip}`,
      ],
    ],
    [
      "controller-manager",
      [
        "controller-manager",
        `--kubeconfig=${kubeconfigOf("controller")}`,
        `--root-ca-file=${tls}/server-ca.crt`,
        "--cluster-cidr=10.42.0.0/16",
      ],
    ],
    ["scheduler", ["scheduler", `--kubeconfig=${kubeconfigOf("scheduler")}`]],
  ];
}

function agentArgs(machine: Machine, server: Machine, files: ClusterFiles): string[] {
  return [
    "agent",
    `--server=https://${server.ip}:6443`,
    `--token=${files.agentToken}`,
    `--data-dir=${dataDirOf(machine)}`,
    `--node-ip=${machine.ip}`,
    `--kubelet-arg=cgroup-root=/wherry-e2e-${process.pid}-${machine.name}`,
  ];
}

/** The admin's goes through the tunnel proxy, the services' go to the API server directly. */
async function writeKubeconfigs(server: Machine, files: ClusterFiles): Promise<string> {
  await mkdir(server.folder, { recursive: true });
  const write = async (name: string, url: string, pair: KeyPair): Promise<string> => {
    const file = join(server.folder, `${name}.yaml`);
    await writeFile(
      file,
      buildKubeconfig({ server: url, caPem: files.serverCa.certPem, ...pair }),
      { mode: 0o600 },
    );
    return file;
  };
  const direct = `https://${server.ip}:6444`;
  await write("supervisor", direct, files.supervisor);
  await write("controller", direct, files.controller);
  await write("scheduler", direct, files.scheduler);
  return await write("kubeconfig", "https://127.0.0.1:6443", files.admin);
}

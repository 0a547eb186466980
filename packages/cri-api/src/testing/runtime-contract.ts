import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { hostArchitecture } from "./busybox.ts";
import { buildOciImage } from "../oci/image-builder.ts";
import {
  RuntimeError,
  type ContainerConfig,
  type ContainerEvent,
  type ContainerRuntime,
  type ContainerStatus,
  type ExecSession,
  type PodSandboxConfig,
} from "../runtime.ts";

export interface RuntimeUnderTest {
  readonly runtime: ContainerRuntime;
  /** An image with a shell, echo, sleep and cat. */
  readonly image: string;
  stop(): Promise<void>;
}

export interface RuntimeContractOptions {
  /** Why the suite cannot run here; it is then skipped, with the reason in its name. */
  readonly skip?: string | undefined;
}

/** What the node agent relies on, for every implementation of `ContainerRuntime`. Sandboxes use the host's network, so that no CNI is needed. */
export function runRuntimeContract(
  name: string,
  create: () => Promise<RuntimeUnderTest>,
  options: RuntimeContractOptions = {},
): void {
  const { skip } = options;
  describe(
    `runtime contract: ${name}${skip === undefined ? "" : ` (skipped: ${skip})`}`,
    { skip: skip ?? false },
    () => {
      let subject: RuntimeUnderTest;
      let runtime: ContainerRuntime;
      let folder: string;
      let attempt = 0;

      before(async () => {
        folder = await mkdtemp(join(tmpdir(), "wherry-runtime-"));
        subject = await create();
        runtime = subject.runtime;
      });
      after(async () => {
        await subject?.stop();
        await rm(folder, { recursive: true, force: true });
      });

      const sandboxConfig = (podName: string): PodSandboxConfig => ({
        metadata: {
          name: podName,
          uid: `uid-${podName}`,
          namespace: "contract",
          attempt: attempt++,
        },
        hostname: podName,
        logDirectory: join(folder, podName),
        portMappings: [],
        labels: { pod: podName },
        annotations: { note: "kept" },
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
      });
      const containerConfig = (
        containerName: string,
        script: string,
        change: Partial<ContainerConfig> = {},
      ): ContainerConfig => ({
        metadata: { name: containerName, attempt: 0 },
        image: subject.image,
        command: ["sh", "-c", script],
        args: [],
        workingDir: "",
        envs: [{ key: "GREETING", value: "hello" }],
        mounts: [],
        devices: [],
        labels: { container: containerName },
        annotations: {},
        logPath: `${containerName}/0.log`,
        stdin: false,
        stdinOnce: false,
        tty: false,
        linux: {
          resources: { cpuShares: 2 },
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
        ...change,
      });
      const runContainer = async (
        podName: string,
        script: string,
        change: Partial<ContainerConfig> = {},
      ): Promise<{ sandboxId: string; containerId: string }> => {
        const sandbox = sandboxConfig(podName);
        await runtime.imageStatus(subject.image);
        const sandboxId = await runtime.runPodSandbox(sandbox);
        const containerId = await runtime.createContainer(
          sandboxId,
          containerConfig("main", script, change),
          sandbox,
        );
        await runtime.startContainer(containerId);
        return { sandboxId, containerId };
      };
      const removePod = async (sandboxId: string): Promise<void> => {
        await runtime.stopPodSandbox(sandboxId);
        await runtime.removePodSandbox(sandboxId);
      };

      test("tells its version and that it is ready", async () => {
        assert.equal((await runtime.version()).runtimeApiVersion, "v1");
        assert.equal((await runtime.status()).runtimeReady, true);
      });

      test("runs a container to its end and keeps its status", async () => {
        const events = collectEvents(runtime);
        const { sandboxId, containerId } = await runContainer("ends", "echo hello; exit 3");
        const status = await events.stopped(containerId);
        assert.equal(status.state, "EXITED");
        assert.equal(status.exitCode, 3);
        assert.equal(status.reason, "Error");
        assert.equal(status.podSandboxId, sandboxId);
        assert.equal(status.metadata.name, "main");
        assert.ok(
          status.createdAt > 0n &&
            status.startedAt >= status.createdAt &&
            status.finishedAt >= status.createdAt,
        );
        assert.match(
          await readFile(status.logPath, "utf8"),
          /^\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d) stdout F hello\n$/,
        );
        await removePod(sandboxId);
        await assert.rejects(runtime.containerStatus(containerId), isCode("notFound"));
        await events.close();
      });

      test("lists sandboxes and containers by label, sandbox and id", async () => {
        const { sandboxId, containerId } = await runContainer("listed", "sleep infinity");
        const [sandbox] = await runtime.listPodSandboxes({ labels: { pod: "listed" } });
        assert.equal(sandbox?.id, sandboxId);
        assert.equal(sandbox?.state, "READY");
        assert.deepEqual({ ...sandbox?.annotations }, { note: "kept" });
        assert.deepEqual(await runtime.listPodSandboxes({ labels: { pod: "unknown" } }), []);
        const containers = await runtime.listContainers({ podSandboxId: sandboxId });
        assert.deepEqual(
          containers.map((container) => [container.id, container.state]),
          [[containerId, "RUNNING"]],
        );
        assert.equal(
          (await runtime.listContainers({ id: containerId }))[0]?.labels["container"],
          "main",
        );
        assert.equal((await runtime.podSandboxStatus(sandboxId)).network, "NODE");
        assert.deepEqual((await runtime.podSandboxStatus(sandboxId)).ips, []);
        await removePod(sandboxId);
        assert.deepEqual(await runtime.listPodSandboxes({ labels: { pod: "listed" } }), []);
      });

      test("stops a running container and says so in an event", async () => {
        const { sandboxId, containerId } = await runContainer("stopped", "sleep infinity");
        const events = collectEvents(runtime);
        await runtime.stopContainer(containerId, 0);
        const status = await events.stopped(containerId);
        assert.equal(status.state, "EXITED");
        assert.notEqual(status.exitCode, 0);
        await runtime.stopContainer(containerId, 0);
        await removePod(sandboxId);
        await events.close();
      });

      test("runs a command synchronously with its output and exit code", async () => {
        const { sandboxId, containerId } = await runContainer("exec-sync", "sleep infinity");
        const result = await runtime.execSync(
          containerId,
          ["sh", "-c", "echo out; echo err >&2; exit 4"],
          10,
        );
        assert.deepEqual(
          [result.stdout.toString(), result.stderr.toString(), result.exitCode],
          ["out\n", "err\n", 4],
        );
        await assert.rejects(
          runtime.execSync(containerId, ["sleep", "30"], 1),
          isCode("deadlineExceeded"),
        );
        await removePod(sandboxId);
      });

      test("streams an exec with separate outputs and its exit code", async () => {
        const { sandboxId, containerId } = await runContainer("exec", "sleep infinity");
        const session = await runtime.exec(containerId, {
          command: ["sh", "-c", "echo out; echo err >&2; exit 5"],
          stdin: false,
          stdout: true,
          stderr: true,
          tty: false,
        });
        const [out, err, code] = await finish(session);
        assert.deepEqual([out, err, code], ["out\n", "err\n", 5]);
        await removePod(sandboxId);
      });

      test("half-closes the input of an exec, and loses no byte of 5 MB", async () => {
        const { sandboxId, containerId } = await runContainer("exec-input", "sleep infinity");
        const session = await runtime.exec(containerId, {
          command: ["cat"],
          stdin: true,
          stdout: true,
          stderr: true,
          tty: false,
        });
        const payload = "0123456789abcde\n".repeat((5 << 20) / 16);
        session.stdin?.end(payload);
        const [out, , code] = await finish(session);
        assert.equal(code, 0);
        assert.ok(out === payload, `${out.length} of ${payload.length} characters came back`);
        await removePod(sandboxId);
      });

      test("attaches to the main process", async () => {
        const { sandboxId, containerId } = await runContainer("attach", "cat", {
          stdin: true,
          stdinOnce: true,
        });
        const session = await runtime.attach(containerId, {
          stdin: true,
          stdout: true,
          stderr: true,
          tty: false,
        });
        session.stdin?.end("ping\n");
        const [out] = await finish(session);
        assert.equal(out, "ping\n");
        await removePod(sandboxId);
      });

      test("forwards a port of the sandbox both ways with a half-close", async () => {
        const { sandboxId } = await runContainer("forward", "sleep infinity");
        const echo = createServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket));
        echo.listen(0, "127.0.0.1");
        await once(echo, "listening");
        const payload = "0123456789abcde\n".repeat((5 << 20) / 16);
        const stream = await runtime.portForward(sandboxId, (echo.address() as AddressInfo).port);
        const received = readAll(stream);
        stream.end(payload);
        assert.ok((await received) === payload);
        echo.close();
        await removePod(sandboxId);
      });

      test("refuses to exec where nothing runs", async () => {
        await assert.rejects(
          runtime.execSync("no-such-container", ["true"], 1),
          isCode("notFound"),
        );
        await assert.rejects(runtime.containerStatus("no-such-container"), isCode("notFound"));
        await assert.rejects(runtime.podSandboxStatus("no-such-sandbox"), isCode("notFound"));
      });

      test("removes and stops what is gone already without complaint", async () => {
        const { sandboxId, containerId } = await runContainer("gone", "sleep infinity");
        await removePod(sandboxId);
        await runtime.stopPodSandbox(sandboxId);
        await runtime.removePodSandbox(sandboxId);
        await runtime.removeContainer(containerId);
      });

      test("measures running containers", async () => {
        const { sandboxId, containerId } = await runContainer("measured", "sleep infinity");
        const stats = (await runtime.containerStats()).find(
          (candidate) => candidate.id === containerId,
        );
        assert.ok(stats !== undefined && stats.timestamp > 0n && stats.memoryWorkingSetBytes > 0n);
        assert.equal(stats.labels["container"], "main");
        await removePod(sandboxId);
      });

      test("imports an archive, twice without harm, and knows its images", async () => {
        const reference = "wherry.local/contract:1";
        const archive = join(folder, "contract.tar");
        await writeFile(
          archive,
          await buildOciImage({
            reference,
            files: [{ path: "x", content: "y" }],
            config: { cmd: ["/x"] },
            platform: { architecture: hostArchitecture() },
          }),
        );
        assert.deepEqual(await runtime.importImages(archive), [reference]);
        assert.deepEqual(await runtime.importImages(archive), [reference]);
        const image = await runtime.imageStatus(reference);
        assert.ok(image !== undefined && image.repoTags.includes(reference));
        assert.ok((await runtime.listImages()).some((candidate) => candidate.id === image.id));
        assert.ok((await runtime.imageFsInfo()).mountpoint.startsWith("/"));
        await runtime.removeImage(reference);
        assert.ok(
          !(await runtime.listImages()).some((candidate) => candidate.repoTags.includes(reference)),
        );
      });

      test("says which file cannot be imported", async () => {
        const broken = join(folder, "broken.tar");
        await writeFile(broken, "this is no archive".repeat(100));
        await assert.rejects(
          runtime.importImages(broken),
          (error: unknown) => isCode("invalidArgument")(error) && String(error).includes(broken),
        );
      });

      test("knows nothing of an image that does not exist", async () => {
        assert.equal(await runtime.imageStatus("missing/image:1"), undefined);
      });
    },
  );
}

function isCode(code: string): (error: unknown) => boolean {
  return (error) => error instanceof RuntimeError && error.code === code;
}

interface EventCollector {
  /** The status at the time of the container's "stopped" event, or at once when it has ended already. */
  stopped(containerId: string): Promise<ContainerStatus>;
  close(): Promise<void>;
}

function collectEvents(runtime: ContainerRuntime): EventCollector {
  const over = new AbortController();
  const seen: ContainerEvent[] = [];
  let wake = (): void => {};
  const running = (async () => {
    for await (const event of runtime.events(over.signal)) {
      seen.push(event);
      wake();
    }
  })();
  return {
    async stopped(containerId) {
      while (!seen.some((event) => event.kind === "stopped" && event.containerId === containerId)) {
        const status = await runtime.containerStatus(containerId);
        if (status.state === "EXITED") return status;
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      return runtime.containerStatus(containerId);
    },
    async close() {
      over.abort();
      await running;
    },
  };
}

async function finish(
  session: ExecSession,
): Promise<[stdout: string, stderr: string, exitCode: number]> {
  const [out, err, code] = await Promise.all([
    readAll(session.stdout),
    readAll(session.stderr),
    session.exit,
  ]);
  return [out, err, code];
}

function readAll(stream: NodeJS.ReadableStream | undefined): Promise<string> {
  if (stream === undefined) return Promise.resolve("");
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.on("end", () => resolve(Buffer.concat(chunks).toString()));
    stream.on("error", reject);
  });
}

/** Everything between kubectl and a container's streams, over real containerd and the simulated runtime, with both of kubectl's transports. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer as createTcpServer, connect, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, before, describe, test } from "node:test";
import { WebSocket } from "ws";
import { createSimulatedRuntime, type ContainerRuntime } from "@wherry/cri-api";
import { TEST_IMAGE, containerdUnavailable, startTestContainerd } from "@wherry/cri-api/testing";
import { startStreamingNode, type StreamingNode } from "./testing/streaming-node.ts";

const LARGE_BYTES = 20 * 1024 * 1024;
const kubectlMissing =
  spawnSync("kubectl", ["version", "--client"]).status === 0 ? undefined : "needs kubectl";

const RUNTIMES: readonly {
  readonly name: string;
  readonly skip: string | undefined;
  start(): Promise<{ runtime: ContainerRuntime; image: string; stop(): Promise<void> }>;
}[] = [
  {
    name: "containerd",
    skip: containerdUnavailable(),
    async start() {
      const { runtime, stop } = await startTestContainerd();
      return { runtime, image: TEST_IMAGE, stop };
    },
  },
  {
    name: "simulated",
    skip: undefined,
    async start() {
      const runtime = createSimulatedRuntime();
      return { runtime, image: "busybox:1", stop: async () => runtime.close() };
    },
  },
];

for (const { name, skip, start } of RUNTIMES) {
  describe(
    `streaming over the ${name} runtime${skip === undefined ? "" : ` (skipped: ${skip})`}`,
    { skip: skip ?? false },
    () => {
      let backend: Awaited<ReturnType<typeof start>>;
      let node: StreamingNode;
      let home: string;

      before(async () => {
        backend = await start();
        node = await startStreamingNode(backend.runtime, backend.image);
        home = await mkdtemp(join(tmpdir(), "wherry-kubectl-"));
        await node.runPod("web", "sleep infinity");
      });
      after(async () => {
        try {
          await node?.stop();
        } finally {
          await backend?.stop();
          await rm(home, { recursive: true, force: true });
        }
      });

      const kubectl = (
        args: readonly string[],
        options: { readonly input?: Buffer; readonly spdy?: boolean } = {},
      ): Promise<{ code: number | null; stdout: Buffer; stderr: string }> =>
        new Promise((resolve, reject) => {
          const webSockets = options.spdy === true ? "false" : "true";
          const child = spawn("kubectl", ["--server", node.url, "--cache-dir", home, ...args], {
            env: {
              PATH: process.env["PATH"] ?? "",
              HOME: home,
              KUBECTL_REMOTE_COMMAND_WEBSOCKETS: webSockets,
              KUBECTL_PORT_FORWARD_WEBSOCKETS: webSockets,
            },
          });
          const stdout: Buffer[] = [];
          const stderr: Buffer[] = [];
          child.stdout.on("data", (chunk: Buffer) => stdout.push(chunk));
          child.stderr.on("data", (chunk: Buffer) => stderr.push(chunk));
          child.stdin.on("error", () => {});
          child.on("error", reject);
          child.on("close", (code) =>
            resolve({
              code,
              stdout: Buffer.concat(stdout),
              stderr: Buffer.concat(stderr).toString(),
            }),
          );
          child.stdin.end(options.input ?? "");
        });

      for (const transport of ["websocket", "spdy"] as const) {
        const spdy = transport === "spdy";
        describe(
          `kubectl over ${transport}${kubectlMissing === undefined ? "" : ` (skipped: ${kubectlMissing})`}`,
          { skip: kubectlMissing ?? false },
          () => {
            test("runs a command with separate outputs and passes its exit code on", async () => {
              const result = await kubectl(
                ["exec", "web", "--", "sh", "-c", "echo out; echo err >&2; exit 7"],
                { spdy },
              );
              assert.equal(result.stdout.toString(), "out\n");
              assert.match(result.stderr, /^err\ncommand terminated with exit code 7/);
              assert.equal(result.code, 7);
            });

            test("ends the input and moves 20 MB both ways without loss", async () => {
              const input = Buffer.alloc(LARGE_BYTES, "0123456789abcde\n");
              const result = await kubectl(["exec", "-i", "web", "--", "cat"], { spdy, input });
              assert.equal(result.code, 0, result.stderr);
              assert.ok(result.stdout.equals(input), `${result.stdout.length} bytes came back`);
            });

            test("attaches to the main process", async () => {
              const podName = `attach-${transport}`;
              await node.runPod(podName, "cat", { stdin: true, stdinOnce: true });
              const result = await kubectl(["attach", "-i", podName], {
                spdy,
                input: Buffer.from("ping\n"),
              });
              assert.equal(result.stdout.toString(), "ping\n", result.stderr);
            });

            test("says that a container does not run", async () => {
              const result = await kubectl(["exec", "web", "-c", "other", "--", "true"], { spdy });
              assert.equal(result.code, 1);
              assert.match(
                result.stderr,
                /container not found \("other"\)|container other is not valid for pod web/,
              );
            });

            test("forwards 20 MB through a port", async (context) => {
              const echo = createTcpServer({ allowHalfOpen: true }, (socket) =>
                socket.pipe(socket),
              );
              echo.listen(0, "127.0.0.1");
              await once(echo, "listening");
              const child = spawn(
                "kubectl",
                [
                  "--server",
                  node.url,
                  "--cache-dir",
                  home,
                  "port-forward",
                  "web",
                  `:${(echo.address() as AddressInfo).port}`,
                ],
                {
                  env: {
                    PATH: process.env["PATH"] ?? "",
                    HOME: home,
                    KUBECTL_PORT_FORWARD_WEBSOCKETS: spdy ? "false" : "true",
                  },
                },
              );
              const ended = once(child, "close");
              context.after(async () => {
                child.kill();
                await ended;
                echo.close();
              });
              const [line] = (await once(child.stdout, "data")) as [Buffer];
              const port = Number(/127\.0\.0\.1:(\d+)/.exec(line.toString())?.[1]);
              const input = Buffer.alloc(LARGE_BYTES, "fedcba9876543210");
              const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
              const chunks: Buffer[] = [];
              socket.on("data", (chunk: Buffer) => chunks.push(chunk));
              socket.end(input);
              await once(socket, "end");
              assert.ok(
                Buffer.concat(chunks).equals(input),
                `${Buffer.concat(chunks).length} bytes came back`,
              );
            });
          },
        );
      }

      describe(
        `kubectl logs${kubectlMissing === undefined ? "" : ` (skipped: ${kubectlMissing})`}`,
        { skip: kubectlMissing ?? false },
        () => {
          test("follows until the container ends", async () => {
            await node.runPod("talks", "echo one; sleep 1; echo two; sleep 1; exit 0");
            const result = await kubectl(["logs", "-f", "talks"]);
            assert.equal(result.stdout.toString(), "one\ntwo\n");
          });

          test("shows the last lines, timestamps and the instance before", async () => {
            const pod = await node.runPod("restarts", "echo a; echo b; echo c; exit 1");
            await ended(node.runtime, pod.containerId);
            const second = await pod.restart("echo d; sleep infinity");
            assert.equal(
              (await kubectl(["logs", "--previous", "--tail=2", "restarts"])).stdout.toString(),
              "b\nc\n",
            );
            await until(async () => (await kubectl(["logs", "restarts"])).stdout.length > 0);
            assert.match(
              (await kubectl(["logs", "--timestamps", "restarts"])).stdout.toString(),
              /^\d{4}-\d\d-\d\dT[\d:.]+\S+ d\n$/,
            );
            await node.runtime.stopContainer(second, 0);
          });
        },
      );

      test("says that there was no instance before", async () => {
        const response = await fetch(
          `${node.url}/api/v1/namespaces/default/pods/web/log?previous=true`,
        );
        assert.equal(response.status, 400);
        assert.equal(
          await response.text(),
          'previous terminated container "main" in pod "web" not found',
        );
      });

      describe("a WebSocket client of another kind", () => {
        const open = (query: string, protocol: string): WebSocket =>
          new WebSocket(
            `${node.url.replace("http", "ws")}/api/v1/namespaces/default/pods/web/exec?${query}`,
            protocol,
          );

        test("gets base64 channels when it asks for them", async () => {
          const socket = open(
            "command=sh&command=-c&command=echo+hi&stdout=true&stderr=true",
            "v4.base64.channel.k8s.io",
          );
          const messages: string[] = [];
          socket.on("message", (data: Buffer) => messages.push(data.toString()));
          await once(socket, "close");
          assert.equal(messages[0], "1");
          const text = (channel: string): string =>
            messages
              .filter((message) => message.startsWith(channel))
              .map((message) => Buffer.from(message.slice(1), "base64").toString())
              .join("");
          assert.equal(text("1"), "hi\n");
          assert.deepEqual(JSON.parse(text("3")), { metadata: {}, status: "Success" });
        });

        test("closes its input with version 5 and keeps the order of everything", async () => {
          const socket = open("command=cat&stdin=true&stdout=true", "v5.channel.k8s.io");
          const received: Buffer[] = [];
          let status = "";
          socket.on("message", (data: Buffer) => {
            if (data[0] === 1) received.push(data.subarray(1));
            if (data[0] === 3) status = data.toString("utf8", 1);
          });
          await once(socket, "open");
          assert.equal(socket.protocol, "v5.channel.k8s.io");
          for (let index = 0; index < 1000; index += 1)
            socket.send(Buffer.concat([Buffer.from([0]), Buffer.from(`line ${index}\n`)]));
          socket.send(Buffer.from([255, 0]));
          await once(socket, "close");
          assert.equal(
            Buffer.concat(received).toString(),
            Array.from({ length: 1000 }, (_, index) => `line ${index}\n`).join(""),
          );
          assert.deepEqual(JSON.parse(status), { metadata: {}, status: "Success" });
        });

        test("is refused with a protocol that nobody knows", async () => {
          const socket = open("command=cat&stdin=true", "v9.example");
          const [error] = (await once(socket, "error")) as [Error];
          assert.match(error.message, /403/);
        });
      });

      if (name === "containerd") {
        test("passes the size of a terminal on", async () => {
          const socket = new WebSocket(
            `${node.url.replace("http", "ws")}/api/v1/namespaces/default/pods/web/exec?command=sh&stdin=true&stdout=true&tty=true`,
            "v5.channel.k8s.io",
          );
          let output = "";
          socket.on("message", (data: Buffer) => {
            if (data[0] === 1) output += data.toString("utf8", 1);
          });
          await once(socket, "open");
          const type = (text: string): void =>
            socket.send(Buffer.concat([Buffer.from([0]), Buffer.from(text)]));
          socket.send(Buffer.concat([Buffer.from([4]), Buffer.from('{"Width":120,"Height":40}')]));
          await until(async () => {
            type("stty size\n");
            await new Promise((resolve) => {
              socket.once("message", resolve);
            });
            return output.includes("40 120");
          });
          type("exit 3\n");
          const status = await new Promise<string>((resolve) => {
            socket.on("message", (data: Buffer) => {
              if (data[0] === 3) resolve(data.toString("utf8", 1));
            });
          });
          assert.match(status, /"reason":"ExitCode","message":"3"/);
        });
      }
    },
  );
}

async function ended(runtime: ContainerRuntime, containerId: string): Promise<void> {
  await until(async () => (await runtime.containerStatus(containerId)).state === "EXITED");
}

/** Waits on something outside this process, at most ten seconds. */
async function until(condition: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error("the condition did not come true in time");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

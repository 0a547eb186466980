import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdir, writeFile, readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import type { Kubectl } from "@wherry/testkit";
import type { Cluster } from "./cluster.ts";
import { manifests } from "./manifests.ts";
import { until } from "./until.ts";

const IMAGE = "wherry.local/busybox:1";

/** The whole kubectl suite, in the order of a user's first hour. Every step reads what kubectl prints. */
export function describeKubectl(title: string, current: () => Cluster): void {
  describe(`kubectl against the ${title}`, () => {
    const kubectl = async (...args: string[]): Promise<string> =>
      (await current().kubectl(args, { timeoutMs: 90_000 })).stdout;
    const podNames = async (selector: string): Promise<string[]> =>
      (await kubectl("get", "pods", "-l", selector, "-o", "name"))
        .trim()
        .split("\n")
        .filter(Boolean)
        .map((name) => name.replace("pod/", ""));

    it("get nodes -o wide shows what runs where", async () => {
      const out = await kubectl("get", "nodes", "-o", "wide");
      assert.match(
        out,
        /NAME +STATUS +ROLES +AGE +VERSION +INTERNAL-IP +EXTERNAL-IP +OS-IMAGE +KERNEL-VERSION +CONTAINER-RUNTIME/,
      );
      for (const machine of current().nodes)
        assert.match(
          out,
          new RegExp(
            `${machine.name} +Ready .* v1\\.36\\.\\S+wherry\\S* +${machine.ip.replaceAll(".", "\\.")} .*containerd://`,
          ),
        );
    });

    it("create deployment, rollout status and scale bring replicas up and down", async () => {
      await kubectl("create", "deployment", "web", `--image=${IMAGE}`, "--replicas=3", "--port=80");
      assert.match(
        await kubectl("rollout", "status", "deployment/web", "--timeout=60s"),
        /successfully rolled out/,
      );
      await kubectl("scale", "deployment/web", "--replicas=2");
      await until("two pods", 60_000, async () => (await podNames("app=web")).length === 2);
      await kubectl("scale", "deployment/web", "--replicas=3");
      await kubectl("rollout", "status", "deployment/web", "--timeout=60s");
      assert.match(await kubectl("get", "deployment", "web"), /web +3\/3 +3 +3 /);
    });

    it("expose gives a service that reaches every replica by name, and a NodePort that the host reaches", async () => {
      await kubectl("expose", "deployment", "web", "--port=80", "--type=NodePort");
      await kubectl(
        "run",
        "client",
        `--image=${IMAGE}`,
        "--restart=Never",
        "--command",
        "--",
        "sleep",
        "3600",
      );
      await kubectl("wait", "--for=condition=Ready", "pod/client", "--timeout=60s");
      const pages = await kubectl(
        "exec",
        "client",
        "--",
        "sh",
        "-c",
        "for i in $(seq 60); do timeout 3 wget -qO- http://web; done",
      );
      const seen = pages.trim().split("\n");
      assert.equal(seen.length, 60);
      for (const pod of await podNames("app=web"))
        assert.ok(
          seen.some((page) => page.endsWith(pod)),
          `${pod} was never reached`,
        );
      const lookup = await kubectl(
        "exec",
        "client",
        "--",
        "sh",
        "-c",
        "timeout 3 wget -qO- http://web.default.svc.cluster.local; ping -c 1 -W 1 kubernetes.default; true",
      );
      assert.match(lookup, /busybox:1 on web-/);
      assert.match(lookup, /PING kubernetes\.default \(10\.43\.0\.1\)/);
      const nodePort = await kubectl(
        "get",
        "service",
        "web",
        "-o",
        "jsonpath={.spec.ports[0].nodePort}",
      );
      const fetched = await current().server.exec([
        process.execPath,
        "-e",
        `fetch("http://${current().server.ip}:${nodePort}").then(r => r.text()).then(t => process.stdout.write(t))`,
      ]);
      assert.match(fetched.stdout, /busybox:1 on web-/);
    });

    it("set image rolls to the new version, and rollout undo rolls back", async () => {
      await kubectl("set", "image", "deployment/web", "busybox=wherry.local/busybox:2");
      await kubectl("rollout", "status", "deployment/web", "--timeout=90s");
      const image = () =>
        kubectl(
          "get",
          "pods",
          "-l",
          "app=web",
          "-o",
          "jsonpath={.items[*].spec.containers[0].image}",
        );
      await until("only new pods", 60_000, async () => !(await image()).includes("busybox:1"));
      assert.match(await kubectl("rollout", "history", "deployment/web"), /1 +<none>\n2 +<none>/);
      await kubectl("rollout", "undo", "deployment/web");
      await kubectl("rollout", "status", "deployment/web", "--timeout=90s");
      await until("only old pods", 60_000, async () => !(await image()).includes("busybox:2"));
    });

    describeClientSensitive(current, () => undefined);

    it("describe, get events and get all show the story", async () => {
      const [pod = ""] = await podNames("app=web");
      const described = await kubectl("describe", "pod", pod);
      for (const expected of [
        /Successfully assigned default\//,
        /Created container|Container created/,
        /Started container|Container started/,
        /kube-api-access-/,
      ])
        assert.match(described, expected);
      assert.match(
        await kubectl("describe", "node", current().nodes[0]?.name ?? ""),
        /Allocated resources:/,
      );
      assert.match(await kubectl("get", "events"), /Scheduled .*Successfully assigned/);
      const all = await kubectl("get", "all", "-A", "-o", "wide");
      for (const expected of [
        /pod\/web-/,
        /service\/kubernetes/,
        /deployment\.apps\/web/,
        /replicaset\.apps\/web-/,
      ])
        assert.match(all, expected);
    });

    it("a pod reaches the API with its own token", async () => {
      const out = await kubectl(
        "exec",
        "client",
        "--",
        "sh",
        "-c",
        "ls /var/run/secrets/kubernetes.io/serviceaccount; cut -c1-2 /var/run/secrets/kubernetes.io/serviceaccount/token",
      );
      assert.match(out, /ca\.crt\nnamespace\ntoken\ney/);
    });

    it("apply -f of a folder makes everything run, twice is the same, and delete by label removes it", async () => {
      const folder = join(current().server.folder, "manifests");
      await mkdir(folder, { recursive: true });
      for (const [name, text] of Object.entries(manifests))
        await writeFile(join(folder, name), text);
      await kubectl("apply", "-f", folder);
      await kubectl("rollout", "status", "deployment/app", "--timeout=90s");
      await kubectl("rollout", "status", "statefulset/db", "--timeout=90s");
      await kubectl("rollout", "status", "daemonset/everywhere", "--timeout=90s");
      await kubectl("wait", "--for=condition=complete", "job/once", "--timeout=90s");
      const [pod = ""] = await podNames("app=app");
      assert.equal(
        await kubectl(
          "exec",
          pod,
          "--",
          "sh",
          "-c",
          "echo $GREETING $PASSWORD $POD_NAME; cat /etc/settings/file.txt /etc/keys/password /shared/ready",
        ),
        `hello s3cret ${pod}\nfrom a file\ns3cretprepared\n`,
      );
      assert.match(
        await kubectl("exec", "client", "--", "timeout", "3", "wget", "-qO-", "http://db-1.db"),
        /on db-1/,
      );
      const again = await kubectl("apply", "-f", folder);
      assert.doesNotMatch(again, /configured|created/);
      await writeFile(
        join(folder, "10-config.yaml"),
        (manifests["10-config.yaml"] ?? "").replace("greeting: hello", "greeting: bye"),
      );
      assert.match(await kubectl("apply", "-f", folder), /configmap\/settings configured/);
      await kubectl("delete", "all,configmap,secret", "-l", "suite=folder", "--timeout=60s");
      await until(
        "the folder's pods to be gone",
        60_000,
        async () => (await podNames("suite=folder")).length === 0,
      );
    });

    it("delete waits for the grace period, and force does not", async () => {
      await kubectl("delete", "pod", "client", "--grace-period=1", "--timeout=30s");
      await assert.rejects(kubectl("get", "pod", "client"), /pods "client" not found/);
    });

    it("what is wrong is said once and clearly", async () => {
      const input =
        "apiVersion: v1\nkind: Pod\nmetadata: {name: Bad_Name}\nspec: {containers: [{name: a}]}\n";
      const refused = await current()
        .kubectl(["apply", "-f", "-"], { input })
        .then(
          () => "",
          (error: Error & { stderr?: string }) => error.stderr ?? "",
        );
      assert.match(refused, /Pod "Bad_Name" is invalid/);
      assert.match(refused, /spec\.containers\[0\]\.image: Required value/);
      await kubectl("run", "missing", "--image=wherry.local/missing:1");
      await until("the missing image to be reported", 60_000, async () =>
        /ErrImagePull|ImagePullBackOff/.test(await kubectl("get", "pod", "missing")),
      );
      await kubectl(
        "run",
        "toobig",
        `--image=${IMAGE}`,
        "--overrides",
        JSON.stringify({
          spec: {
            containers: [{ name: "toobig", image: IMAGE, resources: { requests: { cpu: "900" } } }],
          },
        }),
      );
      await until("the scheduler's reason", 30_000, async () =>
        /nodes are available: .*Insufficient cpu/.test(await kubectl("describe", "pod", "toobig")),
      );
      await kubectl("delete", "pod", "missing", "toobig", "--grace-period=1");
    });
  });
}

/** What depends on the client's version: streaming, explain, discovery, client-side apply. */
export function describeClientSensitive(
  current: () => Cluster,
  pick: () => Kubectl | undefined,
): void {
  const options = () => {
    const kubectl = pick();
    return kubectl === undefined ? {} : { kubectl };
  };
  const kubectl = async (...args: string[]): Promise<string> =>
    (await current().kubectl(args, { timeoutMs: 60_000, ...options() })).stdout;
  const terminal = async (...args: string[]): Promise<string> =>
    (await current().kubectl(args, { timeoutMs: 60_000, tty: true, ...options() })).stdout;
  const podOf = async (selector: string): Promise<string> =>
    (
      await kubectl(
        "get",
        "pods",
        "-l",
        selector,
        "--field-selector=status.phase=Running",
        "-o",
        "jsonpath={.items[0].metadata.name}",
      )
    ).trim();

  it("exec -it gives a terminal, an exit code and a stdin", async () => {
    const pod = await podOf("app=web");
    const shown = await terminal("exec", "-it", pod, "--", "sh", "-c", "tty; echo on $(hostname)");
    assert.match(shown, /\/dev\/pts\/\d+\r\n/);
    assert.match(shown, new RegExp(`on ${pod}\r\n`));
    await assert.rejects(
      kubectl("exec", pod, "--", "sh", "-c", "exit 7"),
      (error: Error & { code?: number }) => error.code === 7,
    );
    const { stdout } = await current().kubectl(["exec", "-i", pod, "--", "cat"], {
      input: "through\n",
      ...options(),
    });
    assert.equal(stdout, "through\n");
  });

  it("logs -f follows what a container writes and ends with it", async () => {
    await kubectl(
      "run",
      "talker",
      `--image=${IMAGE}`,
      "--restart=Never",
      "--command",
      "--",
      "sh",
      "-c",
      "for i in 1 2 3; do echo line $i; sleep 1; done",
    );
    await until("the talker to run", 30_000, async () =>
      /Running|Succeeded|Completed/.test(await kubectl("get", "pod", "talker")),
    );
    assert.equal(await kubectl("logs", "-f", "talker"), "line 1\nline 2\nline 3\n");
    assert.equal(await kubectl("logs", "talker", "--tail=1"), "line 3\n");
    await kubectl("delete", "pod", "talker", "--grace-period=1");
  });

  it("attach shows what runs, and run --rm -it cleans up after itself", async () => {
    const out = await terminal(
      "run",
      "shell",
      "--rm",
      "-i",
      "-t",
      "--restart=Never",
      `--image=${IMAGE}`,
      "--",
      "sh",
      "-c",
      "sleep 1; echo inside",
    );
    assert.match(out, /inside/);
    await until(
      "the pod to be gone",
      30_000,
      async () => !(await kubectl("get", "pods")).includes("shell"),
    );
    await kubectl(
      "run",
      "ticker",
      `--image=${IMAGE}`,
      "--restart=Never",
      "--command",
      "--",
      "sh",
      "-c",
      "while true; do echo tick; sleep 0.2; done",
    );
    await kubectl("wait", "--for=condition=Ready", "pod/ticker", "--timeout=30s");
    const attached = current().spawnKubectl(["attach", "ticker"], options());
    const [data] = (await once(attached.stdout as NonNullable<typeof attached.stdout>, "data")) as [
      Buffer,
    ];
    assert.match(data.toString(), /tick/);
    const ended = once(attached, "exit");
    attached.kill("SIGKILL");
    await ended;
    await kubectl("delete", "pod", "ticker", "--grace-period=1");
  });

  it("cp copies both ways", async () => {
    const pod = await podOf("app=web");
    const folder = current().server.folder;
    await writeFile(join(folder, "up.txt"), "x".repeat(100_000));
    await kubectl("cp", join(folder, "up.txt"), `${pod}:/tmp/up.txt`);
    await kubectl("cp", `${pod}:/tmp/up.txt`, join(folder, "down.txt"));
    assert.equal((await readFile(join(folder, "down.txt"), "utf8")).length, 100_000);
  });

  it("port-forward carries a request", async () => {
    const pod = await podOf("app=web");
    const forward = current().spawnKubectl(["port-forward", `pod/${pod}`, ":80"], options());
    const [line] = (await once(forward.stdout as NonNullable<typeof forward.stdout>, "data")) as [
      Buffer,
    ];
    const port = /127\.0\.0\.1:(\d+)/.exec(line.toString())?.[1];
    const fetched = await current().server.exec([
      process.execPath,
      "-e",
      `fetch("http://127.0.0.1:${port}").then(r => r.text()).then(t => process.stdout.write(t))`,
    ]);
    assert.match(fetched.stdout, new RegExp(`on ${pod}`));
    const ended = once(forward, "exit");
    forward.kill("SIGKILL");
    await ended;
  });

  it("explain and api-resources know the types", async () => {
    assert.match(await kubectl("explain", "pod.spec"), /containers/);
    const all = await kubectl("api-resources");
    for (const name of ["pods", "deployments", "cronjobs", "networkpolicies", "storageclasses"])
      assert.match(all, new RegExp(`^${name} `, "m"));
  });

  it("apply creates, changes and leaves alone", async () => {
    const text = (value: string): string =>
      `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: applied}\ndata: {value: "${value}"}\n`;
    const apply = async (value: string): Promise<string> =>
      (await current().kubectl(["apply", "-f", "-"], { input: text(value), ...options() })).stdout;
    assert.match(await apply("1"), /configmap\/applied created/);
    assert.match(await apply("1"), /configmap\/applied unchanged/);
    assert.match(await apply("2"), /configmap\/applied configured/);
    await kubectl("delete", "configmap", "applied");
  });
}

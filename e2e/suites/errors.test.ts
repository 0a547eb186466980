import assert from "node:assert/strict";
import { chmod, mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { createLab, type Lab, type Machine } from "@wherry/testkit";
import {
  asNobody,
  assertFailure,
  runWherry,
  startWherry,
  type Background,
  type Ended,
} from "../src/run-wherry.ts";
import { until } from "../src/until.ts";

const root = process.getuid?.() === 0;

describe("what goes wrong says what to do", { skip: root ? false : "needs root" }, () => {
  let lab: Lab;
  /** Holds a control plane without a node; see `before` of the suites that need it. */
  let server: Machine;
  let other: Machine;
  before(async () => {
    lab = await createLab();
    server = await lab.addMachine("server");
    other = await lab.addMachine("other");
  });
  after(async () => {
    await lab?.close();
  });

  const wherry = (...args: string[]): Promise<Ended> => runWherry(other, args);
  const dataDirOf = (machine: Machine): string => join(machine.folder, "data");
  /** A server in `other` that must not come to life. */
  const failingServer = (...args: string[]): Promise<Ended> =>
    wherry("server", "--data-dir", dataDirOf(other), ...args);

  describe("help and version", () => {
    const commands = [
      "server",
      "agent",
      "kubectl",
      "token",
      "killall",
      "datastore",
      "apiserver",
      "scheduler",
      "controller-manager",
      "tunnel-proxy",
      "node-agent",
    ];

    it("names every command, and the version", async () => {
      const { code, stdout } = await wherry("--help");
      assert.equal(code, 0);
      for (const name of commands)
        assert.match(stdout, new RegExp(`^  ${name} +[A-Za-z].{8,}$`, "m"));
      assert.match(
        (await wherry("--version")).stdout,
        /^wherry version v1\.36\.\d+\+wherry\d+\nnode version v26\.\d+\.\d+\n$/,
      );
    });

    it("without a command prints the help and counts as wrong use", async () => {
      const { code, stdout } = await wherry();
      assert.equal(code, 2);
      assert.match(stdout, /Usage: wherry COMMAND/);
    });

    for (const name of commands.filter((one) => one !== "kubectl")) {
      it(`of ${name} has a usage line, groups, and a sentence for every flag`, async () => {
        const { code, stdout, stderr } = await wherry(name, "--help");
        assert.equal(code, 0, stderr);
        assert.equal(stderr, "");
        assert.match(stdout, new RegExp(`^[A-Z].+\\n\\nUsage: wherry ${name} `));
        const lines = stdout.split("\n");
        assert.ok(
          lines.some((line) => /^[A-Z]\w+:$/.test(line)),
          "no group",
        );
        for (const [index, line] of lines.entries()) {
          const flag = /^ {2}(?:-\w,|   ) --([\w-]+)( VALUE,…| VALUE| N)?(.*)$/.exec(line);
          if (flag === null) continue;
          const explained = flag[3]?.trim() === "" ? lines[index + 1] : flag[3];
          assert.match(explained ?? "", /^ +\S+/, `--${flag[1]} is not explained`);
        }
        assert.doesNotMatch(stdout, /undefined|NaN|\[object|not supported/);
      });
    }

    it("leaves out what is not supported", async () => {
      const { stdout } = await wherry("server", "--help");
      for (const hidden of [
        "--cluster-init",
        "--secrets-encryption",
        "--kube-apiserver-arg",
        "--docker",
      ])
        assert.ok(!stdout.includes(hidden), hidden);
      for (const group of [
        "Configuration",
        "Data",
        "Listener",
        "Networking",
        "Kubeconfig",
        "Cluster",
        "Datastore",
        "Components",
        "Node",
      ])
        assert.match(stdout, new RegExp(`^${group}:$`, "m"));
    });
  });

  describe("wrong use ends with 2", () => {
    const cases: readonly (readonly [
      what: string,
      args: readonly string[],
      ...expected: readonly (RegExp | string)[],
    ])[] = [
      ["an unknown command", ["serve"], 'unknown command "serve"', "wherry --help"],
      [
        "an unknown flag",
        ["server", "--https-listen-prot", "1"],
        "unknown flag --https-listen-prot",
        "did you mean --https-listen-port?",
      ],
      [
        "an unknown flag that resembles none",
        ["server", "--frobnicate"],
        "unknown flag --frobnicate",
        "see --help",
      ],
      [
        "a flag of K3s that is not supported",
        ["server", "--cluster-init"],
        "--cluster-init is not supported: ",
        "SQLite",
      ],
      [
        "a list of K3s that is not supported",
        ["server", "--kube-apiserver-arg=v=5"],
        "--kube-apiserver-arg is not supported: ",
      ],
      [
        "a word where none belongs",
        ["server", "now"],
        'server takes no argument "now"',
        "wherry server --help",
      ],
      ["a flag without its value", ["server", "--data-dir"], "--data-dir needs a value"],
      [
        "a port that is no number",
        ["server", "--https-listen-port", "many"],
        '--https-listen-port must be a whole number, not "many"',
      ],
      [
        "a port out of range",
        ["server", "--https-listen-port", "66666"],
        "--https-listen-port must be a port between 1 and 65535, not 66666",
      ],
      [
        "a boolean that is neither",
        ["server", "--disable-agent=perhaps"],
        '--disable-agent must be true or false, not "perhaps"',
      ],
      [
        "a pod CIDR that is none",
        ["server", "--cluster-cidr", "10.42.0/33"],
        '--cluster-cidr must be a CIDR such as 10.42.0.0/16, not "10.42.0/33"',
      ],
      [
        "a service CIDR that is none",
        ["server", "--service-cidr", "here"],
        '--service-cidr must be a CIDR such as 10.43.0.0/16, not "here"',
      ],
      [
        "CIDRs that overlap",
        ["server", "--cluster-cidr", "10.0.0.0/8"],
        "--cluster-cidr 10.0.0.0/8 and --service-cidr 10.43.0.0/16 overlap",
      ],
      [
        "a DNS address outside the services",
        ["server", "--cluster-dns", "10.1.2.3"],
        "--cluster-dns 10.1.2.3 does not lie in the service CIDR 10.43.0.0/16",
      ],
      [
        "a DNS address that is none",
        ["server", "--cluster-dns", "dns"],
        '--cluster-dns must be an IP address, not "dns"',
      ],
      [
        "a node address that is none",
        ["server", "--node-ip", "eth0"],
        '--node-ip must be an IP address, not "eth0"',
      ],
      [
        "a kubeconfig mode that is none",
        ["server", "--write-kubeconfig-mode", "rw-r--r--"],
        '--write-kubeconfig-mode must be an octal mode such as 600, not "rw-r--r--"',
      ],
      [
        "a port range that is none",
        ["server", "--service-node-port-range", "30000"],
        '--service-node-port-range must be FIRST-LAST, not "30000"',
      ],
      [
        "a datastore that is not there yet",
        ["server", "--datastore-endpoint", "postgres://user:secret@db/k3s"],
        "--datastore-endpoint: postgres:// is not supported",
        "sqlite://FILE",
      ],
      [
        "a flannel backend that is none",
        ["server", "--flannel-backend", "ipsec"],
        '--flannel-backend must be vxlan or host-gw or none, not "ipsec"',
      ],
      [
        "a packaged component that is none",
        ["server", "--disable", "traefik"],
        "--disable traefik: there is no such packaged component",
        "coredns",
      ],
      [
        "a taint that is none",
        ["server", "--node-taint", "dedicated"],
        "--node-taint must be KEY=VALUE:EFFECT",
        '"dedicated"',
      ],
      [
        "an argument of the kubelet that means nothing here",
        ["server", "--kubelet-arg", "feature-gates=X=true"],
        "--kubelet-arg feature-gates is not supported",
        "max-pods",
      ],
      ["a broken token", ["server", "--token", "K10abc"], "--token: ", "node-token"],
      [
        "a token file that is not there",
        ["server", "--token-file", "/nowhere/token"],
        "--token-file /nowhere/token cannot be read (ENOENT)",
      ],
      [
        "an agent without a server",
        ["agent", "--token", "x"],
        "--server is required",
        "https://HOST:6443",
      ],
      [
        "an agent without a token",
        ["agent", "--server", "https://127.0.0.1:6443"],
        "--token is required",
        "node-token",
      ],
      [
        "an agent with half a URL",
        ["agent", "--server", "server:6443", "--token", "x"],
        '--server must be a URL such as https://HOST:6443, not "server:6443"',
      ],
      ["a datastore without a place", ["datastore"], "--endpoint is required", "sqlite://FILE"],
      [
        "a datastore of an unknown kind",
        ["datastore", "--endpoint", "mysql://user:secret@db/k3s"],
        "endpoint",
        "mysql:// is not supported",
        "sqlite://FILE",
      ],
      ["a scheduler without a kubeconfig", ["scheduler"], "--kubeconfig is required"],
      [
        "an API server without a datastore",
        ["apiserver"],
        "--etcd-servers is required",
        "http://127.0.0.1:2379",
      ],
      ["a tunnel proxy without an API server", ["tunnel-proxy"], "--apiserver is required"],
      [
        "a node agent of two minds",
        ["node-agent", "--kubeconfig", "x", "--nodes", "2"],
        "--nodes needs --runtime simulated",
      ],
      [
        "an unknown token action",
        ["token", "invent"],
        'unknown action "invent"',
        "create, delete, generate, list",
      ],
    ];
    for (const [what, args, ...expected] of cases) {
      it(what, async () => {
        const dataFlag =
          args[0] === "server" && !args.includes("--data-dir")
            ? ["--data-dir", dataDirOf(other)]
            : [];
        const ended = await runWherry(other, [args[0] ?? "", ...dataFlag, ...args.slice(1)]);
        assertFailure(ended, 2, ...expected);
        assert.doesNotMatch(ended.stderr, /secret/);
      });
    }

    it("a wrong variable is named as such", async () => {
      assertFailure(
        await runWherry(other, ["server", "--data-dir", dataDirOf(other)], {
          env: { K3S_DEBUG: "loud" },
        }),
        2,
        'K3S_DEBUG must be true or false, not "loud"',
      );
    });

    it("nothing is written before the flags are right", async () => {
      await assert.rejects(stat(dataDirOf(other)), { code: "ENOENT" });
    });
  });

  describe("the config file", () => {
    const configFile = async (
      text: string,
      dropIns: Readonly<Record<string, string>> = {},
    ): Promise<string> => {
      const folder = join(other.folder, `config-${performance.now()}`);
      await mkdir(join(folder, "config.yaml.d"), { recursive: true });
      await writeFile(join(folder, "config.yaml"), text);
      for (const [name, content] of Object.entries(dropIns))
        await writeFile(join(folder, "config.yaml.d", name), content);
      return join(folder, "config.yaml");
    };

    it("that was named must be there", async () => {
      assertFailure(
        await failingServer("--config", "/nowhere/config.yaml"),
        2,
        "config file /nowhere/config.yaml does not exist",
      );
    });

    it("that cannot be parsed is named with the place", async () => {
      const file = await configFile('disable-agent: true\ntls-san: ["a"\n');
      assertFailure(
        await failingServer("--config", file),
        2,
        `config file ${file} is not valid YAML: `,
        /\(\d+:\d+\)/,
      );
    });

    it("that is a list, or holds a map, is refused", async () => {
      const list = await configFile("- disable-agent\n");
      assertFailure(await failingServer("--config", list), 2, `config file ${list} must be a map`);
      const nested = await configFile("node-label: {a: b}\n");
      assertFailure(
        await failingServer("--config", nested),
        2,
        `config file ${nested}: "node-label" must be`,
      );
    });

    it("with an unknown key is refused by file and key", async () => {
      const file = await configFile("", { "50-more.yaml": "write-kubeconfig-mod: 644\n" });
      assertFailure(
        await failingServer("--config", file),
        2,
        `config file ${file}.d/50-more.yaml: unknown key "write-kubeconfig-mod"`,
        "--help",
      );
    });

    it("with a key that is not supported is refused with the reason", async () => {
      const file = await configFile("secrets-encryption: true\n");
      assertFailure(
        await failingServer("--config", file),
        2,
        "--secrets-encryption is not supported: ",
      );
    });

    it("with a wrong value is refused", async () => {
      const file = await configFile("https-listen-port: high\n");
      assertFailure(
        await failingServer("--config", file),
        2,
        '--https-listen-port must be a whole number, not "high"',
      );
    });

    it("that cannot be read is named", async () => {
      const file = await configFile("disable-agent: true\n");
      await mkdir("/tmp", { recursive: true });
      const nobodyDir = join(other.folder, "nobody");
      // Whoever runs it must reach the folder, and not the file.
      await openFolders(file);
      await chmod(file, 0o600);
      assertFailure(
        await runWherry(other, ["server", "--data-dir", nobodyDir, "--config", file], {
          prefix: asNobody,
        }),
        2,
        `config file ${file} cannot be read (EACCES)`,
        "permissions",
      );
    });

    it("and its drop-ins are honoured: later files replace, key+ appends, the command line wins", async () => {
      const file = await configFile(
        "disable-agent: true\nhttps-listen-port: 7001\nwrite-kubeconfig-mode: 644\ntls-san: [one.example]\n",
        {
          "10-names.yaml": "tls-san+: two.example\nhttps-listen-port: 7002\n",
          "20-last.yml": "tls-san+:\n- three.example\nhttps-listen-port: 7003\n",
          "ignored.txt": "this is: [not yaml",
        },
      );
      const kubeconfig = join(other.folder, "configured.yaml");
      const dataDir = join(other.folder, "configured");
      const running = startWherry(
        other,
        ["server", "--config", file, "--data-dir", dataDir, "--https-listen-port", "7004"],
        { env: { WHERRY_KUBECONFIG_OUTPUT: kubeconfig } },
      );
      try {
        await apiRuns(running);
        assert.match(await readFile(kubeconfig, "utf8"), /server: https:\/\/127\.0\.0\.1:7004/);
        assert.equal((await stat(kubeconfig)).mode & 0o777, 0o644);
        const { stdout } = await other.exec([
          "openssl",
          "x509",
          "-noout",
          "-ext",
          "subjectAltName",
          "-in",
          join(dataDir, "server/tls/serving-kube-apiserver.crt"),
        ]);
        for (const name of ["one.example", "two.example", "three.example"])
          assert.ok(stdout.includes(`DNS:${name}`), stdout);
      } finally {
        assert.equal(await running.kill("SIGTERM"), 0);
      }
    });
  });

  describe("a server", () => {
    it("that may not run containers says so, and what one can do without root", async () => {
      const nobody = await folderOfNobody(other);
      assertFailure(
        await runWherry(other, ["server", "--data-dir", nobody], { prefix: asNobody }),
        1,
        "root",
        "--disable-agent",
      );
      assertFailure(
        await runWherry(
          other,
          ["agent", "--server", "https://127.0.0.1:6443", "--token", "x", "--data-dir", nobody],
          { prefix: asNobody },
        ),
        1,
        "root",
      );
      assertFailure(
        await runWherry(other, ["killall", "--data-dir", nobody], { prefix: asNobody }),
        1,
        "root",
      );
      // What it says one can do works, with everything in the user's home.
      const options = { prefix: asNobody, env: { HOME: nobody } };
      const running = startWherry(other, ["server", "--disable-agent"], options);
      try {
        await apiRuns(running);
        const { stdout, stderr } = await runWherry(
          other,
          ["kubectl", "get", "namespaces", "-o", "name"],
          options,
        );
        assert.match(stdout, /namespace\/default/, stderr);
        assert.equal((await stat(join(nobody, ".wherry/wherry.yaml"))).mode & 0o777, 0o600);
      } finally {
        assert.equal(await running.kill("SIGTERM"), 0);
      }
    });

    it("whose data folder cannot be written says so", async () => {
      assertFailure(
        await runWherry(other, ["server", "--data-dir", "/etc/nobody", "--disable-agent"], {
          prefix: asNobody,
        }),
        1,
        "/etc/nobody",
        "--data-dir",
      );
    });

    it("whose address is not this machine's says so", async () => {
      assertFailure(
        await failingServer("--bind-address", "192.0.2.1", "--disable-agent"),
        1,
        "--bind-address 192.0.2.1",
        "ip -br address",
      );
    });

    it("without containerd says what to install", async () => {
      const bare = await lab.addMachine("bare");
      await hide(bare, "/usr/bin/containerd");
      const ended = await runWherry(bare, [
        "server",
        "--data-dir",
        dataDirOf(bare),
        "--node-ip",
        bare.ip,
      ]);
      assertFailure(
        ended,
        1,
        "not found on this machine: containerd. ",
        "apt-get install containerd)",
        "--container-runtime-endpoint",
      );
    });

    it("without CNI plugins says what to install", async () => {
      const bare = await lab.addMachine("bare-cni");
      await hide(bare, "/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni");
      const ended = await runWherry(bare, [
        "server",
        "--data-dir",
        dataDirOf(bare),
        "--node-ip",
        bare.ip,
      ]);
      assertFailure(ended, 1, "CNI plugins", "apt-get install containernetworking-plugins");
    });

    it("without several programs names them all at once", async () => {
      const bare = await lab.addMachine("bare-nft");
      await hide(bare, "/usr/sbin/nft", "/usr/sbin/runc", "/usr/bin/crun");
      const ended = await runWherry(bare, [
        "server",
        "--data-dir",
        dataDirOf(bare),
        "--node-ip",
        bare.ip,
      ]);
      assertFailure(
        ended,
        1,
        "not found on this machine: runc; nft.",
        "apt-get install runc nftables",
      );
      assert.deepEqual(await bare.processes(), [], "something was left running");
    });
  });

  describe("beside a running server", () => {
    let running: Background;
    let url: string;
    before(async () => {
      url = `https://${server.ip}:6443`;
      running = startWherry(server, [
        "server",
        "--data-dir",
        dataDirOf(server),
        "--disable-agent",
        "--node-ip",
        server.ip,
      ]);
      await apiRuns(running);
    });
    after(async () => {
      assert.equal(await running.kill("SIGTERM"), 0, running.output());
    });

    const join2 = (token: string): Promise<Ended> =>
      wherry(
        "agent",
        "--server",
        url,
        "--token",
        token,
        "--data-dir",
        dataDirOf(other),
        "--node-ip",
        other.ip,
      );
    const nodeToken = async (): Promise<string> =>
      (await readFile(join(dataDirOf(server), "server/node-token"), "utf8")).trim();

    it("a second one on its data folder is refused", async () => {
      const ended = await runWherry(server, [
        "server",
        "--data-dir",
        dataDirOf(server),
        "--disable-agent",
        "--https-listen-port",
        "7443",
      ]);
      assertFailure(
        ended,
        1,
        /another wherry \(process \d+\) uses /,
        dataDirOf(server),
        "--data-dir",
      );
    });

    it("a second one on its port is refused, and leaves nothing", async () => {
      const ended = await runWherry(server, [
        "server",
        "--data-dir",
        join(server.folder, "second"),
        "--disable-agent",
      ]);
      assertFailure(ended, 1, "port 6443 on 0.0.0.0 is in use", "--https-listen-port");
      await assert.rejects(stat(join(server.folder, "second/server")), { code: "ENOENT" });
    });

    it("a datastore on its file is refused", async () => {
      const ended = await runWherry(server, [
        "datastore",
        "--endpoint",
        `sqlite://${join(dataDirOf(server), "server/db/state.db")}`,
        "--listen",
        "127.0.0.1:2379",
      ]);
      assertFailure(ended, 1, "state.db", /another|in use|locked/);
    });

    it("a datastore on its port is refused", async () => {
      const ended = await runWherry(server, [
        "datastore",
        "--endpoint",
        `sqlite://${join(server.folder, "other.db")}`,
        "--listen",
        "127.0.0.1:6443",
      ]);
      assertFailure(ended, 1, "127.0.0.1:6443", "in use", "--listen");
    });

    it("an agent with a wrong password is turned away", async () => {
      const token = (await nodeToken()).replace(/::.*/, "::server:wrong-password");
      const ended = await join2(token);
      assertFailure(ended, 1, "does not accept the token", "server/node-token");
      assert.doesNotMatch(ended.stderr, /wrong-password/);
      assertFailure(
        await join2("just-a-wrong-password"),
        1,
        "does not accept the token",
        "server/node-token",
      );
    });

    it("an agent whose token belongs to another cluster trusts nobody", async () => {
      const token = (await nodeToken()).replace(/^K10[0-9a-f]{64}/, `K10${"ab".repeat(32)}`);
      assertFailure(
        await join2(token),
        1,
        "token CA hash does not match the Cluster CA certificate hash",
        "server/node-token",
      );
    });

    it("an agent that finds no server waits, says so, and stops when it is asked to", async () => {
      const waiting = startWherry(other, [
        "agent",
        "--server",
        `https://${server.ip}:7777`,
        "--token",
        "x",
        "--data-dir",
        dataDirOf(other),
        "--node-ip",
        other.ip,
      ]);
      await until("a word about waiting", 15_000, async () =>
        /level=warning .*server is not ready.*7777/.test(waiting.output()),
      );
      assert.equal(await waiting.kill("SIGTERM"), 0, waiting.output());
    });

    it("kubectl without a readable kubeconfig says where it looked", async () => {
      assertFailure(
        await runWherry(server, ["kubectl", "get", "nodes"], {
          prefix: asNobody,
          env: { HOME: "/nonexistent" },
        }),
        1,
        "/etc/wherry/wherry.yaml cannot be read (EACCES)",
        "--write-kubeconfig-mode 644",
      );
      assertFailure(
        await wherry("kubectl", "get", "nodes"),
        1,
        "/etc/wherry/wherry.yaml cannot be read (ENOENT)",
        "--kubeconfig",
      );
      const { code, stdout } = await runWherry(server, [
        "kubectl",
        "get",
        "namespaces",
        "-o",
        "name",
      ]);
      assert.equal(code, 0);
      assert.match(stdout, /namespace\/default/);
    });

    it("a service without a usable kubeconfig says what is wrong with it", async () => {
      assertFailure(
        await wherry("scheduler", "--kubeconfig", "/nowhere.yaml"),
        1,
        "kubeconfig /nowhere.yaml cannot be read (ENOENT)",
      );
      const file = join(other.folder, "broken.yaml");
      await writeFile(file, "clusters: [\n");
      assertFailure(
        await wherry("scheduler", "--kubeconfig", file),
        1,
        `kubeconfig ${file} is not valid YAML`,
      );
      await writeFile(file, "kind: Config\n");
      for (const name of ["scheduler", "controller-manager", "node-agent"])
        assertFailure(
          await wherry(name, "--kubeconfig", file),
          1,
          `kubeconfig ${file} has no current-context`,
        );
      assertFailure(
        await wherry("token", "list", "--kubeconfig", "/nowhere.yaml"),
        1,
        "kubeconfig /nowhere.yaml cannot be read (ENOENT)",
      );
    });

    it("bootstrap tokens can be made, listed, used by their form only, and deleted", async () => {
      const made = await runWherry(server, [
        "token",
        "create",
        "--ttl",
        "1h",
        "--description",
        "for a test",
      ]);
      assert.match(made.stdout, /^[a-z0-9]{6}\.[a-z0-9]{16}\n$/, made.stderr);
      assert.match((await runWherry(server, ["token", "list"])).stdout, /for a test/);
      assert.equal((await runWherry(server, ["token", "delete", made.stdout.trim()])).code, 0);
      assertFailure(
        await runWherry(server, ["token", "delete", "abcdef"]),
        1,
        'no bootstrap token "abcdef"',
      );
      assertFailure(
        await runWherry(server, ["token", "create", "short"]),
        2,
        "6 characters, a dot and 16 characters",
      );
      assertFailure(
        await runWherry(server, ["token", "create", "--ttl", "soon"]),
        2,
        "--ttl must be a duration such as 30m",
      );
    });
  });

  /** Everyone may pass through to this file's folder. */
  async function openFolders(file: string): Promise<void> {
    for (
      let folder = join(file, "..");
      folder !== "/tmp" && folder !== "/";
      folder = join(folder, "..")
    )
      await chmod(folder, 0o755);
  }

  async function folderOfNobody(machine: Machine): Promise<string> {
    const folder = join(machine.folder, "of-nobody");
    await mkdir(folder, { recursive: true });
    await openFolders(join(folder, "x"));
    await machine.exec(["chown", "65534:65534", folder]);
    return folder;
  }
});

async function apiRuns(running: Background): Promise<void> {
  let code: number | null | undefined;
  void running.ended.then((one) => (code = one));
  await until("the API", 20_000, async () => {
    assert.equal(code, undefined, running.output());
    return /Kube API server is now running/.test(running.output());
  });
}

/** Covers paths with something empty of the same kind; those that do not exist are left alone. */
async function hide(machine: Machine, ...paths: readonly string[]): Promise<void> {
  const [file, folder] = [join(machine.folder, "empty-file"), join(machine.folder, "empty-folder")];
  await mkdir(folder, { recursive: true });
  await writeFile(file, "", { mode: 0o644 });
  for (const path of paths) {
    const kind = await stat(path).catch(() => undefined);
    if (kind !== undefined)
      await machine.exec(["mount", "--bind", kind.isDirectory() ? folder : file, path]);
  }
}

/** A real etcdctl (Debian's) against `wherry datastore`, over TCP and TLS, and across a crash. */
import assert from "node:assert/strict";
import { execFile, execFileSync, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline/promises";
import { after, afterEach, before, describe, it } from "node:test";
import { promisify } from "node:util";
import { createAuthority, issueCertificate, writePair } from "@wherry/pki";
import { launcherMain, node26 } from "../src/cluster.ts";
import { until } from "../src/until.ts";

const hasEtcdctl = ((): boolean => {
  try {
    execFileSync("etcdctl", ["version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
})();

describe(
  "etcdctl against wherry datastore",
  { skip: hasEtcdctl ? false : "etcdctl is not installed" },
  () => {
    let folder: string;
    let datastore: ChildProcess | undefined;
    let output = "";
    before(async () => {
      folder = await mkdtemp(join(tmpdir(), "e2e-datastore-"));
    });
    afterEach(() => stop("SIGKILL"));
    after(async () => {
      await stop("SIGKILL");
      await rm(folder, { recursive: true });
    });

    /** Starts it, waits for its word that it is up, and gives the address that it names. */
    const start = async (...flags: string[]): Promise<string> => {
      output = "";
      const child = spawn(
        node26,
        [launcherMain, "datastore", "--endpoint", `sqlite://${join(folder, "state.db")}`, ...flags],
        { stdio: ["ignore", "pipe", "pipe"] },
      );
      datastore = child;
      child.stderr.on("data", (data: Buffer) => (output += data.toString()));
      return await until("the datastore", 15_000, async () => {
        assert.equal(child.exitCode, null, output);
        return /wherry datastore is up and running on ([^"\s]+)/.exec(output)?.[1];
      });
    };

    async function stop(signal: NodeJS.Signals): Promise<number | null> {
      const child = datastore;
      datastore = undefined;
      if (child === undefined) return null;
      if (child.exitCode === null && child.signalCode === null) {
        const ended = once(child, "exit");
        child.kill(signal);
        await ended;
      }
      return child.exitCode;
    }

    const environment = { ...process.env, ETCDCTL_API: "3" };
    const call = async (args: readonly string[], input = ""): Promise<string> => {
      const running = promisify(execFile)("etcdctl", [...args], {
        env: environment,
        timeout: 15_000,
      });
      running.child.stdin?.end(input);
      return (await running).stdout.trim();
    };
    const at =
      (address: string) =>
      (...args: string[]): Promise<string> =>
        call(["--endpoints", address, ...args]);

    it("puts, gets, deletes, and reads the past", async () => {
      const etcdctl = at(await start("--listen", "127.0.0.1:0"));
      assert.equal(await etcdctl("put", "/a/1", "one"), "OK");
      assert.equal(await etcdctl("put", "/a/2", "two"), "OK");
      assert.equal(await etcdctl("put", "/a/1", "uno"), "OK");
      assert.equal(await etcdctl("get", "/a/1"), "/a/1\nuno");
      assert.equal(await etcdctl("get", "--prefix", "/a/", "--print-value-only"), "uno\ntwo");
      assert.equal(await etcdctl("get", "/a/1", "--rev", "2", "--print-value-only"), "one");
      const { kvs, count } = JSON.parse(await etcdctl("get", "/a/1", "-w", "json")) as {
        readonly kvs: readonly {
          readonly create_revision: number;
          readonly mod_revision: number;
          readonly version: number;
        }[];
        readonly count: number;
      };
      assert.deepEqual(
        [kvs[0]?.create_revision, kvs[0]?.mod_revision, kvs[0]?.version, count],
        [2, 4, 2, 1],
      );
      assert.equal(await etcdctl("del", "--prefix", "/a/"), "2");
      assert.equal(await etcdctl("get", "--prefix", "/a/"), "");
    });

    it("runs either branch of a transaction", async () => {
      const address = await start("--listen", "127.0.0.1:0");
      await at(address)("put", "switch", "on");
      const transaction =
        'value("switch") = "on"\nversion("absent") = "0"\n\nput result yes\ndel switch\n\nput result no\nget result\n\n';
      assert.equal(await call(["--endpoints", address, "txn"], transaction), "SUCCESS\n\nOK\n\n1");
      assert.equal(
        await call(["--endpoints", address, "txn"], transaction),
        "FAILURE\n\nOK\n\nresult\nno",
      );
    });

    it("watches what happened before and what happens now, in order", async () => {
      const address = await start("--listen", "127.0.0.1:0");
      const etcdctl = at(address);
      await etcdctl("put", "w/a", "1");
      const revision = (
        JSON.parse(await etcdctl("get", "w/a", "-w", "json")) as {
          readonly header: { readonly revision: number };
        }
      ).header.revision;
      const watch = spawn(
        "etcdctl",
        ["--endpoints", address, "watch", "--prefix", "w/", "--rev", String(revision)],
        { env: environment, stdio: ["ignore", "pipe", "inherit"] },
      );
      const lines: string[] = [];
      try {
        for await (const line of createInterface(watch.stdout)) {
          lines.push(line);
          if (lines.length === 3) {
            await etcdctl("put", "w/b", "2");
            await etcdctl("put", "other", "3");
            await etcdctl("del", "w/a");
          }
          if (lines.length === 9) break;
        }
      } finally {
        const ended = once(watch, "exit");
        watch.kill("SIGKILL");
        await ended;
      }
      assert.deepEqual(lines, ["PUT", "w/a", "1", "PUT", "w/b", "2", "DELETE", "w/a", ""]);
    });

    it("grants leases that take their keys with them", async () => {
      const etcdctl = at(await start("--listen", "127.0.0.1:0"));
      const id = /lease ([0-9a-f]+) granted/.exec(await etcdctl("lease", "grant", "1"))?.[1] ?? "";
      await etcdctl("put", "leased", "1", "--lease", id);
      assert.equal(await etcdctl("get", "leased", "--print-value-only"), "1");
      await until(
        "the lease to expire",
        15_000,
        async () => (await etcdctl("get", "leased")) === "",
      );
    });

    it("keeps what was acknowledged over kill -9, and ends with 0 when it is asked to", async () => {
      const first = at(await start("--listen", "127.0.0.1:0"));
      for (let index = 0; index < 10; index += 1)
        await first("put", `kept/${index}`, String(index));
      await stop("SIGKILL");
      const second = at(await start("--listen", "127.0.0.1:0"));
      assert.equal(
        await second("get", "--prefix", "kept/", "--print-value-only"),
        "0\n1\n2\n3\n4\n5\n6\n7\n8\n9",
      );
      assert.equal(await stop("SIGTERM"), 0, output);
    });

    it("lets in over TLS who shows a certificate, and nobody else", async () => {
      const authority = await createAuthority({ commonName: "e2e" });
      const nowMs = Date.now();
      const ca = join(folder, "ca.crt");
      await writeFile(ca, authority.certPem);
      await writePair(
        join(folder, "serving"),
        await issueCertificate(authority, {
          subject: { commonName: "etcd", organizations: [] },
          usages: ["server"],
          nowMs,
          sans: { dns: ["localhost"], ips: ["127.0.0.1"] },
        }),
      );
      await writePair(
        join(folder, "client"),
        await issueCertificate(authority, {
          subject: { commonName: "apiserver", organizations: [] },
          usages: ["client"],
          nowMs,
        }),
      );
      const address = await start(
        "--listen",
        "127.0.0.1:0",
        "--server-cert-file",
        join(folder, "serving.crt"),
        "--server-key-file",
        join(folder, "serving.key"),
        "--trusted-ca-file",
        ca,
      );
      assert.match(address, /^https:/);
      const endpoint = [
        "--endpoints",
        address,
        "--cacert",
        ca,
        "--dial-timeout",
        "2s",
        "--command-timeout",
        "3s",
      ];
      assert.equal(
        await call([
          ...endpoint,
          "--cert",
          join(folder, "client.crt"),
          "--key",
          join(folder, "client.key"),
          "put",
          "secret",
          "1",
        ]),
        "OK",
      );
      await assert.rejects(call([...endpoint, "put", "secret", "2"]));
      assert.equal(
        await call([
          ...endpoint,
          "--cert",
          join(folder, "client.crt"),
          "--key",
          join(folder, "client.key"),
          "get",
          "secret",
          "--print-value-only",
        ]),
        "1",
      );
    });
  },
);

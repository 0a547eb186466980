import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { createInterface } from "node:readline/promises";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { before, describe, it, type TestContext } from "node:test";
import { promisify } from "node:util";
import { createNullMetrics, silentLogger, systemClock } from "@wherry/service-kit";
import { datastoreConfig } from "./config.ts";
import { createDatastore } from "./datastore.ts";

/** etcd's own client against the gRPC server: another implementation of the protocol, in Go. */

const run = promisify(execFile);
const environment = { ...process.env, ETCDCTL_API: "3" };

interface Etcdctl {
  (...args: string[]): Promise<string>;
  readonly endpoint: string;
}

async function serve(test: TestContext): Promise<Etcdctl> {
  const folder = await mkdtemp(join(tmpdir(), "wherry-etcdctl-"));
  const config = datastoreConfig.parse({
    endpoint: `sqlite://${join(folder, "state.db")}`,
    listen: "127.0.0.1:0",
  });
  const datastore = createDatastore(config, {
    clock: systemClock,
    log: silentLogger,
    metrics: createNullMetrics(),
  });
  test.after(async () => {
    await datastore.stop(AbortSignal.timeout(500));
    await rm(folder, { recursive: true });
  });
  await datastore.start(test.signal);
  // Without a scheme: the 3.4 client would put the URL into HTTP/2's authority, which Node refuses.
  const endpoint = (datastore.endpoint() ?? "").replace("http://", "");
  const call = async (...args: string[]): Promise<string> => {
    const { stdout } = await run("etcdctl", ["--endpoints", endpoint, ...args], {
      env: environment,
      timeout: 15_000,
    });
    return stdout.trim();
  };
  return Object.assign(call, { endpoint });
}

/** Feeds a transaction to etcdctl's standard input. */
async function txn(etcdctl: Etcdctl, text: string): Promise<string> {
  const running = run("etcdctl", ["--endpoints", etcdctl.endpoint, "txn"], {
    env: environment,
    timeout: 15_000,
  });
  running.child.stdin?.end(text);
  return (await running).stdout.trim();
}

describe("etcdctl", { timeout: 60_000 }, () => {
  let missing: string | undefined;

  before(async () => {
    try {
      await run("etcdctl", ["version"], { env: environment });
    } catch {
      missing = "etcdctl is not installed";
    }
  });

  const check = (
    name: string,
    body: (etcdctl: Etcdctl, test: TestContext) => Promise<void>,
  ): void => {
    it(name, async (test) => {
      if (missing !== undefined) return test.skip(missing);
      await body(await serve(test), test);
    });
  };

  check("puts, gets and deletes", async (etcdctl) => {
    assert.equal(await etcdctl("put", "a", "1"), "OK");
    await etcdctl("put", "b", "2");
    await etcdctl("put", "a", "3");
    assert.equal(await etcdctl("get", "a"), "a\n3");
    assert.equal(await etcdctl("get", "a", "--rev", "2"), "a\n1");
    assert.equal(
      await etcdctl("get", "", "--prefix", "--keys-only", "--order", "DESCEND"),
      "b\n\na",
    );
    assert.equal(
      await etcdctl("get", "", "--prefix", "--sort-by", "VERSION", "--print-value-only"),
      "2\n3",
    );
    assert.equal(await etcdctl("del", "a", "b", "--prev-kv"), "1\na\n3");
    assert.equal(await etcdctl("get", "", "--prefix", "--keys-only"), "b");
  });

  check("runs transactions", async (etcdctl) => {
    await etcdctl("put", "flag", "on");
    const text =
      'value("flag") = "on"\nmod("flag") < "5"\n\nput result then\nget flag\n\nput result else\n\n';
    assert.equal(await txn(etcdctl, text), "SUCCESS\n\nOK\n\nflag\non");
    await etcdctl("put", "flag", "off");
    assert.equal(await txn(etcdctl, text), "FAILURE\n\nOK");
    assert.equal(await etcdctl("get", "result", "--print-value-only"), "else");
  });

  check("watches from an old revision", async (etcdctl, test) => {
    await etcdctl("put", "w/a", "1");
    await etcdctl("put", "w/a", "2");
    const child = spawn(
      "etcdctl",
      ["--endpoints", etcdctl.endpoint, "watch", "w/", "--prefix", "--rev", "2", "--prev-kv"],
      {
        env: environment,
        stdio: ["ignore", "pipe", "inherit"],
      },
    );
    test.after(() => child.kill());
    const lines: string[] = [];
    for await (const line of createInterface(child.stdout)) {
      lines.push(line);
      if (lines.length === 8) await etcdctl("del", "w/a");
      if (lines.length === 13) break;
    }
    assert.deepEqual(lines, [
      "PUT",
      "w/a",
      "1",
      "PUT",
      "w/a",
      "1",
      "w/a",
      "2",
      "DELETE",
      "w/a",
      "2",
      "w/a",
      "",
    ]);
  });

  check("grants, renews, lists and revokes leases", async (etcdctl) => {
    const granted = await etcdctl("lease", "grant", "300");
    const id = /^lease ([0-9a-f]+) granted with TTL\(300s\)$/.exec(granted)?.[1] ?? "";
    assert.notEqual(id, "", granted);
    await etcdctl("put", "leased", "1", "--lease", id);
    assert.match(
      await etcdctl("lease", "timetolive", id, "--keys"),
      /TTL\(300s\), remaining\((29\d|300)s\), attached keys\(\[leased\]\)/,
    );
    assert.match(await etcdctl("lease", "keep-alive", id, "--once"), /keepalived with TTL\(300\)/);
    assert.ok((await etcdctl("lease", "list")).includes(id));
    assert.equal(await etcdctl("lease", "revoke", id), `lease ${id} revoked`);
    assert.equal(await etcdctl("get", "leased"), "");
  });

  check("compacts, and shows etcd's errors", async (etcdctl) => {
    for (const value of ["1", "2", "3"]) await etcdctl("put", "a", value);
    assert.equal(await etcdctl("compact", "3", "--physical"), "compacted revision 3");
    const isError = (text: string) => (error: unknown) =>
      (error as { readonly stderr: string }).stderr.includes(text);
    await assert.rejects(
      etcdctl("get", "a", "--rev", "2"),
      isError("etcdserver: mvcc: required revision has been compacted"),
    );
    await assert.rejects(
      etcdctl("get", "a", "--rev", "99"),
      isError("etcdserver: mvcc: required revision is a future revision"),
    );
    const file = join(tmpdir(), `snapshot-${process.pid}.db`);
    await assert.rejects(etcdctl("snapshot", "save", file), isError("Unimplemented"));
    await rm(`${file}.part`, { force: true });
  });

  check("takes it for an etcd: status, health, members, locks", async (etcdctl) => {
    const [status] = JSON.parse(await etcdctl("endpoint", "status", "--write-out", "json")) as [
      {
        readonly Status: {
          readonly version: string;
          readonly dbSize: number;
          readonly leader: number;
          readonly header: { readonly member_id: number };
        };
      },
    ];
    assert.equal(status.Status.version, "3.6.11");
    assert.ok(status.Status.dbSize > 0);
    assert.equal(status.Status.leader, status.Status.header.member_id);
    const { members } = JSON.parse(await etcdctl("member", "list", "--write-out", "json")) as {
      readonly members: readonly {
        readonly name: string;
        readonly clientURLs: readonly string[];
      }[];
    };
    assert.deepEqual(
      members.map(({ name, clientURLs }) => [name, clientURLs]),
      [["wherry", [`http://${etcdctl.endpoint}`]]],
    );
    await etcdctl("endpoint", "health");
    assert.match(await etcdctl("lock", "mutex", "echo", "locked"), /^locked$/m);
  });
});

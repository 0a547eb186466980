import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import {
  describeFlags,
  readConfigArgs,
  resolveFlags,
  UsageError,
  type FlagDefinition,
} from "./index.ts";

const flags: FlagDefinition[] = [
  {
    name: "data-dir",
    short: "d",
    kind: "string",
    env: ["WHERRY_DATA_DIR", "K3S_DATA_DIR"],
    help: "Folder for data.",
    defaultText: "/var/lib/wherry",
  },
  { name: "https-listen-port", kind: "integer", help: "Port." },
  { name: "disable-agent", kind: "boolean", help: "No node here." },
  { name: "node-label", kind: "list", help: "Labels." },
  { name: "rootless", kind: "boolean", help: "", unsupported: "run as root" },
];
const resolve = (args: string[], env: Record<string, string> = {}, fileArgs: string[] = []) =>
  resolveFlags(flags, { args, env, fileArgs });

test("the command line wins over the environment, and both over the file", () => {
  assert.deepEqual(
    resolve(["-d", "/line"], { K3S_DATA_DIR: "/env" }, ["--data-dir=/file"]).values,
    { "data-dir": "/line" },
  );
  assert.deepEqual(
    resolve([], { K3S_DATA_DIR: "/env", WHERRY_DATA_DIR: "/own" }, ["--data-dir=/file"]).values,
    { "data-dir": "/own" },
  );
  assert.deepEqual(
    resolve([], {}, ["--data-dir=/file", "--node-label=a=b", "--node-label=c=d"]).values,
    { "data-dir": "/file", "node-label": ["a=b", "c=d"] },
  );
});

test("values are converted and positionals kept", () => {
  const parsed = resolve([
    "--https-listen-port=7443",
    "--disable-agent",
    "--node-label",
    "a=b,c=d",
    "x",
    "--",
    "--y",
  ]);
  assert.deepEqual(parsed.values, {
    "https-listen-port": 7443,
    "disable-agent": true,
    "node-label": ["a=b", "c=d"],
  });
  assert.deepEqual(parsed.positionals, ["x", "--y"]);
});

test("what is wrong is named", () => {
  assert.throws(
    () => resolve(["--data-dri", "x"]),
    (error: unknown) =>
      error instanceof UsageError &&
      /unknown flag --data-dri.*did you mean --data-dir\?/.test(error.message),
  );
  assert.throws(
    () => resolve(["--https-listen-port", "x"]),
    /--https-listen-port must be a whole number, not "x"/,
  );
  assert.throws(() => resolve(["--data-dir"]), /--data-dir needs a value/);
  assert.throws(() => resolve(["--rootless"]), /--rootless is not supported: run as root/);
  assert.throws(() => resolve([], {}, ["--disable-agent=maybe"]), /must be true or false/);
});

test("help shows what can be used and nothing else", () => {
  const help = describeFlags(flags);
  assert.match(help, /-d, --data-dir VALUE/);
  assert.doesNotMatch(help, /rootless/);
});

test("config files are merged as K3s merges them", async () => {
  const folder = await mkdtemp(join(tmpdir(), "config-"));
  const path = join(folder, "config.yaml");
  await writeFile(path, "data-dir: /one\nnode-label: [a=b]\ntoken: other-command\n");
  await mkdir(`${path}.d`);
  await writeFile(join(`${path}.d`, "10.yaml"), "data-dir: /two\nnode-label+: [c=d]\n");
  const other: FlagDefinition[] = [{ name: "token", kind: "string", help: "" }];
  const read = () =>
    readConfigArgs({ path, explicit: true, definitions: flags, otherCommands: other });
  assert.deepEqual(await read(), ["--data-dir=/two", "--node-label=a=b", "--node-label=c=d"]);
  await writeFile(path, "data-dirr: x\n");
  await assert.rejects(read(), /config\.yaml: unknown key "data-dirr"/);
  await writeFile(path, "data-dir: {a: b}\n");
  await assert.rejects(read(), /"data-dir" must be a string, number, boolean or a list/);
  await writeFile(path, "a: [\n");
  await assert.rejects(read(), /is not valid YAML/);
  await rm(folder, { recursive: true });
  await assert.rejects(read(), /does not exist/);
});

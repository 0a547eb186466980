import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { readConfigArgs } from "./config-file.ts";
import { UsageError, type FlagDefinition } from "./flags.ts";

const flag = (name: string, kind: FlagDefinition["kind"]): FlagDefinition => ({
  name,
  kind,
  help: "",
});
const definitions = [flag("name", "string"), flag("label", "list"), flag("debug", "boolean")];
const otherCommands = [flag("elsewhere", "string")];

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "config-file-"));
});
after(() => rm(folder, { recursive: true }));

const argsOf = async (
  name: string,
  text: string | undefined,
  dropIns: Readonly<Record<string, string>> = {},
  explicit = true,
): Promise<string[]> => {
  const path = join(folder, name);
  if (text !== undefined) await writeFile(path, text);
  await mkdir(`${path}.d`);
  for (const [file, content] of Object.entries(dropIns))
    await writeFile(join(`${path}.d`, file), content);
  return await readConfigArgs({ path, explicit, definitions, otherCommands });
};

test("keys become flags, lists repeat them, and keys of other commands are skipped", async () => {
  assert.deepEqual(
    await argsOf("a.yaml", "name: x\nlabel: [a=1, b=2]\ndebug: true\nelsewhere: y\n"),
    ["--name=x", "--label=a=1", "--label=b=2", "--debug=true"],
  );
});

test("a later file replaces a value, and key+ appends to it", async () => {
  const dropIns = {
    "20.yml": "label+: c=3\n",
    "10.yaml": "name: y\nlabel+: [b=2]\n",
    "30.txt": "not: [read",
  };
  assert.deepEqual(await argsOf("b.yaml", "name: x\nlabel: a=1\n", dropIns), [
    "--name=y",
    "--label=a=1",
    "--label=b=2",
    "--label=c=3",
  ]);
});

test("a file of comments only is an empty one", async () => {
  assert.deepEqual(await argsOf("c.yaml", "# name: x\n"), []);
  assert.deepEqual(await argsOf("d.yaml", ""), []);
});

test("the default file may be absent, and its drop-ins count all the same", async () => {
  assert.deepEqual(await argsOf("e.yaml", undefined, { "1.yaml": "name: z\n" }, false), [
    "--name=z",
  ]);
});

test("what is wrong is named with its file", async () => {
  const cases: readonly (readonly [text: string | undefined, expected: RegExp])[] = [
    [undefined, /does not exist/],
    ["a: [", /is not valid YAML: /],
    ["- a", /must be a map/],
    ["name: x\n---\nname: y\n", /holds 2 YAML documents/],
    ["nome: x", /unknown key "nome"/],
    ["label: {a: b}", /"label" must be a string, number, boolean or a list/],
  ];
  for (const [index, [text, expected]] of cases.entries()) {
    const name = `wrong-${index}.yaml`;
    await assert.rejects(
      argsOf(name, text),
      (error: unknown) =>
        error instanceof UsageError &&
        expected.test(error.message) &&
        error.message.includes(join(folder, name)),
    );
  }
});

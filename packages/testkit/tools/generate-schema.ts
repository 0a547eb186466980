import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { definitionTable } from "./schema-definitions.ts";
import { columnTable, groupOrder, resourceTable } from "./schema-resources.ts";
import { goldenRecords, openApiOperations } from "./schema-golden.ts";
import { protobufTable } from "./schema-protobuf.ts";

/**
 * Writes the compact tables of packages/schema from a folder of facts about Kubernetes.
 * Usage: node packages/testkit/tools/generate-schema.ts FACTS_FOLDER
 * FACTS_FOLDER holds schema-facts.json, proto-facts.json, field-tags.tsv, resources.tsv, columns.tsv, swagger.json, discovery/ and golden/. Nothing of their prose is copied.
 */
const [folder] = process.argv.slice(2);
if (folder === undefined) {
  process.stderr.write("usage: node packages/testkit/tools/generate-schema.ts FACTS_FOLDER\n");
  process.exit(2);
}

const schemaSource = resolve(import.meta.dirname, "../../schema/src");
const read = (name: string): string => readFileSync(join(folder, name), "utf8");
const readJson = (name: string): unknown => JSON.parse(read(name));

const resources = resourceTable(read("resources.tsv"));
const definitions = definitionTable(
  readJson("schema-facts.json"),
  read("field-tags.tsv"),
  resources,
);
const columns = columnTable(read("columns.tsv"));
const groups = groupOrder(readJson("discovery/apis.json"));

mkdirSync(join(schemaSource, "gen"), { recursive: true });
mkdirSync(join(schemaSource, "testdata"), { recursive: true });
writeTable("definitions", definitions);
writeTable(
  "resources",
  resources.map((row) => row.join("\t")),
);
writeTable("columns", columns);
writeTable("groups", groups);
writeTable(
  "protobuf",
  protobufTable(readJson("proto-facts.json"), read("field-tags.tsv"), resources),
);

for (const [name, lines] of goldenRecords(read("golden/open.jsonl"), resources)) {
  writeFileSync(join(schemaSource, "testdata", `${name}.jsonl`), `${lines.join("\n")}\n`);
}
writeFileSync(
  join(schemaSource, "testdata", "openapi-operations.tsv"),
  `${openApiOperations(readJson("swagger.json"), resources).join("\n")}\n`,
);
writeFileSync(
  join(schemaSource, "testdata", "discovery.json"),
  `${JSON.stringify({ apis: readJson("discovery/apis.json"), aggregated: readJson("discovery/aggregated_v2.json"), lists: discoveryLists() })}\n`,
);

/** A table is one string of lines: cheap to load, parsed line by line when asked for. */
function writeTable(name: string, lines: readonly string[]): void {
  const text = `'${lines.join("\n").replaceAll("\\", "\\\\").replaceAll("'", "\\'").replaceAll("\n", "\\n")}'`;
  writeFileSync(join(schemaSource, "gen", `${name}.js`), `export const ${name} =\n  ${text};\n`);
  writeFileSync(
    join(schemaSource, "gen", `${name}.d.ts`),
    `export declare const ${name}: string;\n`,
  );
}

function discoveryLists(): Record<string, unknown> {
  const lists: Record<string, unknown> = {};
  for (const groupVersion of new Set(
    resources.map((row) => (row[0] === "" ? row[1] : `${row[0]}/${row[1]}`)),
  )) {
    const file = groupVersion === "v1" ? "api__v1" : `apis__${groupVersion?.replace("/", "__")}`;
    lists[String(groupVersion)] = readJson(`discovery/${file}.json`);
  }
  return lists;
}

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

/**
 * Writes the table of protobuf fields that the API server reads request bodies and stored values by.
 * Usage: node packages/testkit/tools/generate-protobuf-fields.ts FACTS_FOLDER
 * FACTS_FOLDER holds proto-facts.json and field-tags.tsv. A line is `package.Message`, a tab, and the fields `json,number,type[,repeated]` separated by spaces; a
 * field that JSON shows inside its parent has the name "".
 */
const [folder] = process.argv.slice(2);
if (folder === undefined) {
  process.stderr.write(
    "usage: node packages/testkit/tools/generate-protobuf-fields.ts FACTS_FOLDER\n",
  );
  process.exit(2);
}
type Field = readonly [number: number, type: string, label?: string];
type Files = Readonly<
  Record<string, { readonly messages: Readonly<Record<string, Readonly<Record<string, Field>>>> }>
>;

const files = JSON.parse(readFileSync(join(folder, "proto-facts.json"), "utf8")) as Files;
/** Names in JSON by "go package/struct/number"; "(inline)" for embedded structs. */
const jsonNames = new Map<string, string>();
for (const line of readFileSync(join(folder, "field-tags.tsv"), "utf8").split("\n").slice(1)) {
  const [goPackage, struct, json, , number] = line.split("\t");
  if (number !== undefined && number !== "")
    jsonNames.set(`${goPackage}/${struct}/${number}`, json ?? "");
}

const served =
  /^k8s\.io\.(api\.[a-z]+\.v\d+|apimachinery\.pkg\.(apis\.meta\.v1|runtime|api\.resource|util\.intstr)|apiextensions_apiserver\.pkg\.apis\.apiextensions\.v1)$/;
const lines: string[] = [];
for (const [key, { messages }] of Object.entries(files)) {
  const [protoPackage = "", path = ""] = key.split("|");
  if (!served.test(protoPackage)) continue;
  const goPackage = path.replace(/\/generated\.proto$/, "");
  const qualified = (type: string): string => {
    const map = /^map<(\w+),(.+)>$/.exec(type);
    if (map !== null) return `map<${map[1]},${qualified(map[2] ?? "")}>`;
    if (type.startsWith(".")) return type.slice(1);
    return Object.hasOwn(messages, type) ? `${protoPackage}.${type}` : type;
  };
  for (const [message, fields] of Object.entries(messages)) {
    const texts = Object.entries(fields).map(([name, [number, type, label]]) => {
      const json = jsonNames.get(`${goPackage}/${message}/${number}`) ?? name;
      return [
        json === "(inline)" ? "" : json,
        number,
        qualified(type),
        ...(label === "repeated" ? ["repeated"] : []),
      ].join(";");
    });
    lines.push(`${protoPackage}.${message}\t${texts.join(" ")}`);
  }
}
const out = resolve(import.meta.dirname, "../../../services/apiserver/src/gen");
mkdirSync(out, { recursive: true });
writeFileSync(
  join(out, "protobuf-fields.js"),
  `export const protobufFields =\n  '${lines.join("\\n").replaceAll("\t", "\\t")}';\n`,
);
writeFileSync(join(out, "protobuf-fields.d.ts"), "export declare const protobufFields: string;\n");

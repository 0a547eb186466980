/** YAML as Go's Kubernetes clients write and upstream reads it: YAML 1.1 booleans and octal numbers, no dates, no base-60 numbers, merge keys. */
let loading: ReturnType<typeof createReader> | undefined;

const integer = /^([-+]?)(?:0b([01_]+)|0o?([0-7_]+)|0x([0-9a-fA-F_]+)|([0-9][0-9_]*))$/;

async function createReader() {
  const yaml = await import("js-yaml");
  const wholeNumber = yaml.defineScalarTag<number>("tag:yaml.org,2002:int", {
    implicit: true,
    implicitFirstChars: Array.from("-+0123456789"),
    resolve(source) {
      const match = integer.exec(source);
      if (match === null) return yaml.NOT_RESOLVED;
      const [, sign, binary, octal, hexadecimal, decimal = "0"] = match;
      const digits = (text: string): string => text.replaceAll("_", "");
      const value =
        binary !== undefined
          ? Number.parseInt(digits(binary), 2)
          : octal !== undefined
            ? Number.parseInt(digits(octal), 8)
            : hexadecimal !== undefined
              ? Number.parseInt(digits(hexadecimal), 16)
              : Number(digits(decimal));
      return sign === "-" ? -value : value;
    },
    identify: (value) => Number.isInteger(value),
    represent: (value: number) => value.toString(10),
  });
  return {
    yaml,
    schema: yaml.CORE_SCHEMA.withTags(yaml.boolYaml11Tag, wholeNumber, yaml.mergeTag),
  };
}

export interface YamlDocument {
  readonly value: unknown;
  /** Duplicate keys, in upstream's words. Of two values the last one counts. */
  readonly duplicates: readonly string[];
}

/** The first document of the text. Throws the parser's error. */
export async function parseYaml(text: string): Promise<YamlDocument> {
  loading ??= createReader();
  const { yaml, schema } = await loading;
  const first = firstDocument(text);
  try {
    return { value: yaml.load(first, { schema }), duplicates: [] };
  } catch (error) {
    const { reason, mark } = error as { reason?: string; mark?: { line: number } };
    if (reason !== "duplicated mapping key" || mark === undefined) throw error;
    const key = /^\s*(?:- )*["']?([^"':]+)/.exec(first.split("\n")[mark.line] ?? "")?.[1] ?? "";
    const problem = `yaml: unmarshal errors:\n  line ${mark.line + 1}: key ${JSON.stringify(key)} already set in map`;
    return { value: yaml.load(first, { schema, json: true }), duplicates: [problem] };
  }
}

function firstDocument(text: string): string {
  const begin = /^\s*(#[^\n]*\n\s*)*---[^\n]*\n/.exec(text);
  const body = begin === null ? text : text.slice(begin[0].length);
  const end = /^---/m.exec(body);
  return end === null ? body : body.slice(0, end.index);
}

import { createProtobufCodec, type ProtobufCodec, type ProtobufField } from "@wherry/machinery";
import { protobuf } from "../gen/protobuf.js";

/** A field of a message as both forms know it. On the codec's side fields are named by their numbers. */
export interface MessageField {
  /** Name in JSON; "" = its fields are shown inside the parent. */
  readonly json: string;
  readonly number: number;
  /** A scalar's name or a message of the table ("core.v1.Pod"). */
  readonly type: string;
  readonly isMessage: boolean;
  readonly kind: "one" | "list" | "map";
  /** Absent and zero differ (a pointer in Go). */
  readonly nullable: boolean;
  readonly omitEmpty: boolean;
}

interface Index {
  /** Package by "group/version". */
  readonly packages: ReadonlyMap<string, string>;
  /** Flags and fields by message. */
  readonly lines: ReadonlyMap<string, string>;
  readonly codec: ProtobufCodec;
}

let index: Index | undefined;
const parsed = new Map<string, readonly MessageField[]>();

/** Reads and writes the messages of the table; values are keyed by field number. */
export function messageCodec(): ProtobufCodec {
  return load().codec;
}

/** The fields in the order in which JSON shows them, parsed when first asked for. */
export function messageFields(message: string): readonly MessageField[] {
  const known = parsed.get(message);
  if (known !== undefined) return known;
  const line = load().lines.get(message);
  if (line === undefined) throw new Error(`the protobuf table has no message ${message}`);
  const texts = line.slice(line.indexOf("\t") + 1);
  const home = message.slice(0, message.lastIndexOf("."));
  const fields = texts === "" ? [] : texts.split(" ").map((text) => parseField(text, home));
  parsed.set(message, fields);
  return fields;
}

/** The message of a kind: of the group version itself, or of those that every group version has (options, Status). */
export function messageOfKind(apiVersion: string, kind: string): string | undefined {
  const { packages, lines } = load();
  const home = packages.get(apiVersion.includes("/") ? apiVersion : `/${apiVersion}`);
  const shared =
    apiVersion === "meta.k8s.io/v1beta1"
      ? ["meta.v1beta1", "meta.v1"]
      : home !== undefined || apiVersion === "meta.k8s.io/v1"
        ? ["meta.v1"]
        : [];
  for (const name of home === undefined ? shared : [home, ...shared]) {
    const message = `${name}.${kind}`;
    if (lines.get(message)?.startsWith("k\t") === true) return message;
  }
  return undefined;
}

function load(): Index {
  if (index !== undefined) return index;
  const packages = new Map<string, string>();
  const lines = new Map<string, string>();
  const messages: Record<string, Record<string, ProtobufField>> = {};
  for (const line of protobuf.split("\n")) {
    const tab = line.indexOf("\t");
    const name = line.slice(0, tab);
    if (name.startsWith("@")) {
      packages.set(name.slice(1), line.slice(tab + 1));
      continue;
    }
    lines.set(name, line.slice(tab + 1));
    Object.defineProperty(messages, name, {
      get: () => Object.fromEntries(messageFields(name).map(codecField)),
    });
  }
  index = {
    packages,
    lines,
    codec: createProtobufCodec({ syntax: "proto2", int64: "number", messages }),
  };
  return index;
}

/** Integer keys are enumerated in ascending order, which is the order on the wire. */
function codecField({ number, type, kind }: MessageField): [string, ProtobufField] {
  if (kind === "map") return [String(number), [number, `map<string,${type}>`]];
  return [String(number), kind === "list" ? [number, type, "repeated"] : [number, type]];
}

function parseField(text: string, home: string): MessageField {
  const [json = "", number = "", short = "", flags = ""] = text.split(";");
  const type = short === "" ? "string" : short.startsWith(".") ? home + short : short;
  return {
    json,
    number: Number(number),
    type,
    isMessage: type.includes("."),
    kind: flags.includes("m") ? "map" : flags.includes("r") ? "list" : "one",
    nullable: flags.includes("p"),
    omitEmpty: flags.includes("o"),
  };
}

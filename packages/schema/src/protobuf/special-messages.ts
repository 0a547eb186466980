/** Messages whose JSON form is not an object of their fields. */
import { MachineryError, parseTime, type ProtobufValue } from "@wherry/machinery";
import { isTree } from "../tree.ts";
import { durationText, parseDuration } from "./go-duration.ts";

/** Values of a message by field number. */
export type FieldValues = { [number: string]: ProtobufValue | undefined };

/** The ordinary conversion, for messages inside. */
export interface Conversion {
  toJson(message: string, values: FieldValues): unknown;
  fromJson(message: string, value: unknown): FieldValues;
}

export interface SpecialMessage {
  /** Undefined values are the message that is not there. */
  toJson(values: FieldValues | undefined, conversion: Conversion): unknown;
  /** `value` may be undefined or null; undefined is returned for what is not written then. */
  fromJson(value: unknown, conversion: Conversion): FieldValues | undefined;
}

const props = "apiextensions.v1.JSONSchemaProps";

const time: SpecialMessage = {
  toJson: (values) => timeText(values, () => ""),
  fromJson: (value) => timeValues(value, () => 0),
};

const microTime: SpecialMessage = {
  toJson: (values) =>
    timeText(
      values,
      (nanos) =>
        `.${Math.floor(nanos / 1000)
          .toString()
          .padStart(6, "0")}`,
    ),
  fromJson: (value) => timeValues(value, (nanos) => nanos - (nanos % 1000)),
};

/** A list that has a message of its own so that nil and empty differ. */
const wrappedList: SpecialMessage = {
  toJson: (values) => (values === undefined ? null : (values["1"] ?? [])),
  fromJson: (value) => (Array.isArray(value) ? { "1": value.map(String) } : undefined),
};

/** JSON that travels as it is. */
const rawJson: SpecialMessage = {
  toJson: (values) => {
    const text = textOf(values?.["1"]);
    return text === "" ? null : (JSON.parse(text) as unknown);
  },
  fromJson: (value) =>
    value === undefined || value === null ? {} : { "1": Buffer.from(JSON.stringify(value)) },
};

const specials: Readonly<Record<string, SpecialMessage>> = {
  "meta.v1.Time": time,
  "meta.v1.MicroTime": microTime,
  "meta.v1.Duration": {
    toJson: (values) => durationText(Number(values?.["1"] ?? 0)),
    fromJson: (value) => ({ "1": typeof value === "string" ? parseDuration(value) : 0 }),
  },
  "meta.v1.Verbs": wrappedList,
  "authentication.v1.ExtraValue": wrappedList,
  "authorization.v1.ExtraValue": wrappedList,
  "certificates.v1.ExtraValue": wrappedList,
  "meta.v1.FieldsV1": rawJson,
  "runtime.RawExtension": rawJson,
  "apiextensions.v1.JSON": rawJson,
  "resource.Quantity": {
    toJson: (values) => values?.["1"] || "0",
    fromJson: (value) => ({ "1": String(value ?? "0") }),
  },
  "intstr.IntOrString": {
    toJson: (values) => (values?.["1"] === 1 ? (values["3"] ?? "") : Number(values?.["2"] ?? 0)),
    fromJson: (value) =>
      typeof value === "string"
        ? { "1": 1, "2": 0, "3": value }
        : { "1": 0, "2": Number(value ?? 0), "3": "" },
  },
  "apiextensions.v1.JSONSchemaPropsOrArray": schemaOr(
    (values, { toJson }) =>
      ((values["2"] ?? []) as readonly FieldValues[]).map((one) => toJson(props, one)),
    (value, { fromJson }) =>
      Array.isArray(value) ? { "2": value.map((one) => fromJson(props, one)) } : {},
  ),
  "apiextensions.v1.JSONSchemaPropsOrStringArray": schemaOr(
    (values) => values["2"] ?? [],
    (value) => (Array.isArray(value) ? { "2": value.map(String) } : {}),
  ),
  "apiextensions.v1.JSONSchemaPropsOrBool": {
    toJson: (values, { toJson }) =>
      values?.["2"] === undefined
        ? values?.["1"] === true
        : toJson(props, values["2"] as FieldValues),
    fromJson: (value, { fromJson }) =>
      isTree(value) ? { "1": true, "2": fromJson(props, value) } : { "1": value === true },
  },
};

export function specialMessage(message: string): SpecialMessage | undefined {
  return Object.hasOwn(specials, message) ? specials[message] : undefined;
}

/** A schema in field 1, or something else. */
function schemaOr(
  otherToJson: (values: FieldValues, conversion: Conversion) => unknown,
  otherFromJson: (value: unknown, conversion: Conversion) => FieldValues,
): SpecialMessage {
  return {
    toJson: (values = {}, conversion) =>
      values["1"] === undefined
        ? otherToJson(values, conversion)
        : conversion.toJson(props, values["1"] as FieldValues),
    fromJson: (value, conversion) =>
      isTree(value) ? { "1": conversion.fromJson(props, value) } : otherFromJson(value, conversion),
  };
}

function textOf(bytes: ProtobufValue | undefined): string {
  return bytes === undefined ? "" : Buffer.from(bytes as Uint8Array).toString();
}

/** The empty message is the time that was never set. */
function timeText(
  values: FieldValues | undefined,
  fraction: (nanos: number) => string,
): string | null {
  const seconds = Number(values?.["1"] ?? 0);
  const nanos = Number(values?.["2"] ?? 0);
  if (seconds === 0 && nanos === 0) return null;
  const date = new Date(seconds * 1000);
  if (Number.isNaN(date.getTime()) || date.getUTCFullYear() < 0 || date.getUTCFullYear() > 9999)
    throw new MachineryError(
      "badValue",
      `the time of ${seconds} s is outside of the years 0 to 9999`,
    );
  return `${date.toISOString().slice(0, 19)}${fraction(nanos)}Z`;
}

function timeValues(value: unknown, keep: (nanos: number) => number): FieldValues {
  if (typeof value !== "string") return {};
  const digits = /\.(\d+)/.exec(value)?.[1] ?? "";
  return {
    "1": Math.floor(parseTime(value) / 1000),
    "2": keep(Number(digits.slice(0, 9).padEnd(9, "0"))),
  };
}

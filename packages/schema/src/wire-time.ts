const pattern = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)$/;

const layouts = {
  seconds: "2006-01-02T15:04:05Z07:00",
  micros: "2006-01-02T15:04:05.000000Z07:00",
} as const;

/** Thrown with the text that Go's time package gives. */
export class WireTimeError extends Error {}

/** RFC 3339 in any zone → UTC with whole seconds, or with microseconds for `micros`. */
export function normalizeTime(text: string, precision: keyof typeof layouts): string {
  const match = pattern.exec(text);
  if (match === null || (precision === "micros" && match[7]?.length !== 7)) {
    throw new WireTimeError(parseMessage(text, precision));
  }
  if (precision === "seconds" && match[7] === undefined && match[8] === "Z") {
    if (!Number.isNaN(Date.parse(text))) return text;
  }
  const ms = Date.parse(`${text.slice(0, 19)}${match[8]}`);
  if (Number.isNaN(ms)) {
    throw new WireTimeError(`parsing time ${JSON.stringify(text)}: day out of range`);
  }
  const seconds = new Date(ms).toISOString().slice(0, 19);
  return precision === "micros" ? `${seconds}${match[7]}Z` : `${seconds}Z`;
}

/** Names the first part of the layout that the text does not match, as Go does. */
function parseMessage(text: string, precision: keyof typeof layouts): string {
  const layout = layouts[precision];
  const parts: readonly (readonly [RegExp, string])[] = [
    [/^\d{4}/, "2006"],
    [/^-/, "-"],
    [/^\d\d/, "01"],
    [/^-/, "-"],
    [/^\d\d/, "02"],
    [/^T/, "T"],
    [/^\d\d/, "15"],
    [/^:/, ":"],
    [/^\d\d/, "04"],
    [/^:/, ":"],
    [precision === "seconds" ? /^\d\d(\.\d+)?/ : /^\d\d/, "05"],
    ...(precision === "micros" ? ([[/^\.\d{6}/, ".000000"]] as const) : []),
    [/^(Z|[+-]\d\d:\d\d)/, "Z07:00"],
  ];
  let rest = text;
  for (const [part, name] of parts) {
    const match = part.exec(rest);
    if (match === null) {
      return `parsing time ${JSON.stringify(text)} as ${JSON.stringify(layout)}: cannot parse ${JSON.stringify(rest)} as ${JSON.stringify(name)}`;
    }
    rest = rest.slice(match[0].length);
  }
  return `parsing time ${JSON.stringify(text)}: extra text: ${JSON.stringify(rest)}`;
}

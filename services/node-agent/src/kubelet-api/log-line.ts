export interface LogOptions {
  readonly timestamps: boolean;
  /** Only lines written at or after this time (milliseconds since the epoch). */
  readonly sinceMs: number | undefined;
  readonly stream: "All" | "Stdout" | "Stderr";
}

/** Turns lines of a CRI log file into what a client reads. One per file being read: it remembers whether the last line was a partial one. */
export interface LogLineFormatter {
  /** A whole line of the file without its newline; undefined when it is not shown. */
  format(line: Buffer): Buffer | undefined;
}

const NEWLINE = Buffer.from("\n");
const SPACE = 0x20;

/**
 * A line is `<RFC 3339 time> stdout|stderr <tag>[:<tag>] <text>`. The first tag is F for a full line or P for a part of one that goes on in the
 * next line of the same stream: parts are shown without a newline, and only the first with a timestamp.
 */
export function createLogLineFormatter(options: LogOptions): LogLineFormatter {
  let continued = false;
  return {
    format(line) {
      const timeEnd = line.indexOf(SPACE);
      const streamEnd = line.indexOf(SPACE, timeEnd + 1);
      const tagEnd = line.indexOf(SPACE, streamEnd + 1);
      if (timeEnd <= 0 || streamEnd < 0 || tagEnd < 0) return undefined;
      const stream = line.toString("latin1", timeEnd + 1, streamEnd);
      if (options.stream !== "All" && stream !== options.stream.toLowerCase()) return undefined;
      if (
        options.sinceMs !== undefined &&
        !(Date.parse(line.toString("latin1", 0, timeEnd)) >= options.sinceMs)
      )
        return undefined;
      const partial = line[streamEnd + 1] === 0x50;
      const showsTime = options.timestamps && !continued;
      continued = partial;
      const text = line.subarray(tagEnd + 1);
      return Buffer.concat([
        ...(showsTime ? [line.subarray(0, timeEnd + 1)] : []),
        text,
        ...(partial ? [] : [NEWLINE]),
      ]);
    },
  };
}

/** Schedules in the five-field form, with names, ranges, steps, lists and the @ short forms, in any time zone of the ICU database. */
export interface CronSchedule {
  /** The first time after `afterMs`; undefined when there is none within five years. */
  next(afterMs: number): number | undefined;
}

/** A schedule or time zone that means nothing; the message says what is wrong with which field. */
export class CronScheduleError extends Error {
  readonly code: "badSchedule" | "unknownTimeZone";

  constructor(code: "badSchedule" | "unknownTimeZone", message: string) {
    super(message);
    this.name = "CronScheduleError";
    this.code = code;
  }
}

const shortForms: Readonly<Record<string, string>> = {
  "@yearly": "0 0 1 1 *",
  "@annually": "0 0 1 1 *",
  "@monthly": "0 0 1 * *",
  "@weekly": "0 0 * * 0",
  "@daily": "0 0 * * *",
  "@midnight": "0 0 * * *",
  "@hourly": "0 * * * *",
};
const months = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const weekdays = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const DAY_MS = 86_400_000;
const DAYS_AHEAD_MAX = 5 * 366;
const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

export function parseCronSchedule(text: string, timeZone = "UTC"): CronSchedule {
  const clock = createZoneClock(timeZone);
  const trimmed = text.trim();
  if (trimmed.startsWith("@every ")) return everySchedule(trimmed.slice("@every ".length));
  const fields = (shortForms[trimmed] ?? trimmed).split(/\s+/);
  if (fields.length !== 5)
    throw new CronScheduleError(
      "badSchedule",
      `schedule "${text}" must have five fields (minute hour day month weekday), not ${fields.length}`,
    );
  const [minute = "", hour = "", day = "", month = "", weekday = ""] = fields;
  const minutes = [...parseField(minute, "minute", 0, 59)].sort(ascending);
  const hours = [...parseField(hour, "hour", 0, 23)].sort(ascending);
  const days = parseField(day, "day", 1, 31);
  const monthSet = parseField(month, "month", 1, 12, months);
  const weekdaySet = parseField(weekday, "weekday", 0, 7, weekdays);
  if (weekdaySet.has(7)) weekdaySet.add(0);
  // Day and weekday are alternatives when both are restricted.
  const either = !isOpen(day) && !isOpen(weekday);
  const isDue = (date: Date): boolean => {
    if (!monthSet.has(date.getUTCMonth() + 1)) return false;
    const [byDay, byWeekday] = [days.has(date.getUTCDate()), weekdaySet.has(date.getUTCDay())];
    return either ? byDay || byWeekday : byDay && byWeekday;
  };
  return {
    next(afterMs) {
      const local = clock.localOf(afterMs);
      const firstDayMs = local - (((local % DAY_MS) + DAY_MS) % DAY_MS);
      for (let ahead = 0; ahead <= DAYS_AHEAD_MAX; ahead += 1) {
        const dayMs = firstDayMs + ahead * DAY_MS;
        if (!isDue(new Date(dayMs))) continue;
        for (const hourOfDay of hours) {
          for (const minuteOfHour of minutes) {
            const wallMs = dayMs + hourOfDay * 3_600_000 + minuteOfHour * 60_000;
            if (wallMs <= local) continue;
            const atMs = clock.utcOf(wallMs);
            if (atMs !== undefined && atMs > afterMs) return atMs;
          }
        }
      }
      return undefined;
    },
  };
}

function ascending(a: number, b: number): number {
  return a - b;
}

function isOpen(field: string): boolean {
  return field.startsWith("*") || field.startsWith("?");
}

function everySchedule(text: string): CronSchedule {
  const parts = [...text.matchAll(/(\d+)(ms|s|m|h)/g)];
  const total = parts.reduce(
    (sum, [, amount, unit]) => sum + Number(amount) * (UNIT_MS[unit ?? ""] ?? 0),
    0,
  );
  if (parts.map(([all]) => all).join("") !== text || total < 1_000)
    throw new CronScheduleError(
      "badSchedule",
      `schedule "@every ${text}" needs a duration of at least a second, such as 1h30m`,
    );
  const everyMs = total - (total % 1_000);
  return { next: (afterMs) => afterMs - (afterMs % 1_000) + everyMs };
}

function parseField(
  text: string,
  name: string,
  min: number,
  max: number,
  names: readonly string[] = [],
): Set<number> {
  const values = new Set<number>();
  const fail = (): never => {
    throw new CronScheduleError(
      "badSchedule",
      `schedule field ${name} "${text}" must be numbers from ${min} to ${max}, ranges, steps or lists of them`,
    );
  };
  const read = (one: string): number => {
    const named = names.indexOf(one.toLowerCase());
    // Months begin at 1, weekdays at 0.
    if (named >= 0) return named + min;
    return /^\d{1,2}$/.test(one) ? Number(one) : fail();
  };
  for (const part of text.split(",")) {
    const [range = "", step, ...rest] = part.split("/");
    if (rest.length > 0 || (step !== undefined && !/^[1-9]\d{0,2}$/.test(step))) fail();
    const [first = "", last, ...more] = range.split("-");
    if (more.length > 0) fail();
    const isStar = range === "*" || range === "?";
    const from = isStar ? min : read(first);
    const to = isStar
      ? name === "weekday"
        ? 6
        : max
      : last === undefined
        ? step === undefined
          ? from
          : max
        : read(last);
    if (from < min || to > max || from > to) fail();
    for (let value = from; value <= to; value += Number(step ?? 1)) values.add(value);
  }
  return values;
}

interface ZoneClock {
  /** The wall clock of the zone, as if it were UTC. */
  localOf(utcMs: number): number;
  /** The first moment that the wall clock shows this; undefined when it is skipped on that day. */
  utcOf(wallMs: number): number | undefined;
}

function createZoneClock(timeZone: string): ZoneClock {
  if (timeZone === "UTC" || timeZone === "Etc/UTC")
    return { localOf: (ms) => ms, utcOf: (ms) => ms };
  let format: Intl.DateTimeFormat;
  try {
    if (timeZone === "" || timeZone === "Local") throw new RangeError("not a zone");
    format = new Intl.DateTimeFormat("en-US", {
      timeZone,
      hourCycle: "h23",
      year: "numeric",
      month: "numeric",
      day: "numeric",
      hour: "numeric",
      minute: "numeric",
      second: "numeric",
    });
  } catch {
    throw new CronScheduleError("unknownTimeZone", `unknown time zone ${timeZone}`);
  }
  const localOf = (utcMs: number): number => {
    const parts = Object.fromEntries(
      format.formatToParts(utcMs).map(({ type, value }) => [type, Number(value)]),
    );
    return Date.UTC(
      parts["year"] ?? 0,
      (parts["month"] ?? 1) - 1,
      parts["day"],
      parts["hour"],
      parts["minute"],
      parts["second"],
    );
  };
  return {
    localOf,
    utcOf(wallMs) {
      // The offset a day before and after covers every change of it; the larger offset gives the earlier moment.
      const offsets = [-DAY_MS, DAY_MS]
        .map((shift) => localOf(wallMs + shift) - (wallMs + shift))
        .sort((a, b) => b - a);
      return offsets
        .map((offset) => wallMs - offset)
        .find((candidate) => localOf(candidate) === wallMs);
    },
  };
}

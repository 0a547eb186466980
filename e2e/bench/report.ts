import { writeFile } from "node:fs/promises";

/** One figure of a benchmark. `peer` is the same figure of the program it is compared with. */
export interface Metric {
  readonly metric: string;
  readonly value: number;
  readonly unit: string;
  readonly peer?: number;
  readonly target?: number;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

/** Prints a table and, when a file is named, writes the flat list. */
export async function report(
  title: string,
  metrics: readonly Metric[],
  file: string | undefined,
): Promise<void> {
  const rows = metrics.map((one) => [
    one.metric,
    one.value.toPrecision(4),
    one.unit,
    one.peer?.toPrecision(4) ?? "",
    one.target === undefined ? "" : `<= ${one.target}`,
  ]);
  const header = [title, "value", "unit", "peer", "target"];
  const widths = header.map((name, column) =>
    Math.max(name.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  for (const row of [header, ...rows])
    console.log(
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    );
  if (file !== undefined) await writeFile(file, `${JSON.stringify(metrics, null, 2)}\n`);
}

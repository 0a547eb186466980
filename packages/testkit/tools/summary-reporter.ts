import type { TestEvent } from "node:test/reporters";

/** A node:test reporter that writes one JSON object: counts, and the names of what failed or was skipped. */
export interface TestSummary {
  passed: number;
  failed: number;
  skipped: { readonly name: string; readonly reason: string }[];
  failures: string[];
}

// node:test loads a reporter by its default export.
// oxlint-disable-next-line import/no-default-export
export default async function* summaryReporter(
  source: AsyncIterable<TestEvent>,
): AsyncGenerator<string> {
  const summary: TestSummary = { passed: 0, failed: 0, skipped: [], failures: [] };
  for await (const event of source) {
    if (event.type !== "test:pass" && event.type !== "test:fail") continue;
    const { name, details, skip } = event.data;
    if (details.type === "suite" && event.type === "test:pass") continue;
    if (skip !== undefined && skip !== false)
      summary.skipped.push({ name, reason: skip === true ? "" : skip });
    else if (event.type === "test:pass") summary.passed += 1;
    else {
      summary.failed += 1;
      summary.failures.push(name);
    }
  }
  yield JSON.stringify(summary);
}

/**
 * Requests and answers recorded from kube-apiserver v1.36.2 (verbs and patches), replayed. Values that differ from run to run are normalised on both sides;
 * managedFields and column descriptions, which this server does not have, are left out.
 */
import { deepEqual } from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { after, before, describe, it } from "node:test";
import { adminToken, startFixture, type Fixture } from "./testing/apiserver-fixture.ts";

interface GoldenRequest {
  readonly method: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  readonly anonymous?: boolean;
  readonly capture?: Readonly<Record<string, string>>;
}

interface GoldenCase {
  readonly id: string;
  readonly setup?: readonly GoldenRequest[];
  readonly request: GoldenRequest;
  readonly response: {
    readonly status: number;
    readonly headers: Readonly<Record<string, string | readonly string[] | null>>;
    readonly body: unknown;
  };
}

const cases = readFileSync(new URL("testdata/golden.jsonl", import.meta.url), "utf8")
  .trimEnd()
  .split("\n")
  .map((line) => JSON.parse(line) as GoldenCase);

describe("answers as kube-apiserver gives them", () => {
  let fixture: Fixture;
  before(async () => {
    fixture = await startFixture({ config: { listen: { host: "127.0.0.1", port: 0 } } });
  });
  after(() => fixture.close());

  for (const one of cases) {
    it(one.id, async () => {
      const token = `g${createHash("sha1").update(one.id).digest("hex").slice(0, 9)}`;
      const captured: Record<string, string> = { ns: token };
      for (const step of one.setup ?? []) {
        const { text } = await send(fixture, step, captured);
        for (const [name, path] of Object.entries(step.capture ?? {}))
          captured[name] = String(dig(JSON.parse(text), path));
      }
      const answer = await send(fixture, one.request, captured);
      const asked = substitute(
        one.request.path + JSON.stringify(one.request.body) + JSON.stringify(one.setup ?? []),
        captured,
      );
      const warnings = answer.headers.get("warning");
      const got = {
        status: answer.status,
        type: answer.headers.get("content-type"),
        warnings: warnings === null ? [] : warnings.split(/, (?=299 )/),
        body: normalise(parseBody(answer.text), token, asked),
      };
      const want = {
        status: one.response.status,
        type: one.response.headers["Content-Type"] ?? null,
        warnings: one.response.headers["Warning"] ?? [],
        body: one.response.body,
      };
      deepEqual(got, want);
    });
  }
});

async function send(
  fixture: Fixture,
  request: GoldenRequest,
  captured: Readonly<Record<string, string>>,
): Promise<{ status: number; headers: Headers; text: string }> {
  const { body } = request;
  const text =
    body === undefined || body === null
      ? undefined
      : substitute(typeof body === "string" ? body : JSON.stringify(body), captured);
  const headers = new Headers({
    accept: "application/json",
    ...(request.anonymous === true ? {} : { authorization: `Bearer ${adminToken}` }),
  });
  if (text !== undefined) headers.set("content-type", "application/json");
  for (const [name, value] of Object.entries(request.headers ?? {}))
    headers.set(name, substitute(value, captured));
  const url = fixture.server.endpoint()!.url + substitute(request.path, captured);
  const response = await fetch(url, {
    method: request.method,
    headers,
    redirect: "manual",
    ...(text === undefined ? {} : { body: Buffer.from(text) }),
  });
  return { status: response.status, headers: response.headers, text: await response.text() };
}

function substitute(text: string, captured: Readonly<Record<string, string>>): string {
  return Object.entries(captured)
    .reduce((current, [name, value]) => current.replaceAll(`@${name}@`, value), text)
    .replace(/@x(\d+)@/g, (_all, count: string) => "x".repeat(Number(count)));
}

function dig(value: unknown, path: string): unknown {
  return path
    .split(".")
    .reduce<unknown>(
      (current, key) => (current as Record<string, unknown> | undefined)?.[key],
      value,
    );
}

/** One JSON value, a line of JSON each (watches), or text. */
function parseBody(text: string): unknown {
  if (text === "") return null;
  try {
    return JSON.parse(text);
  } catch {
    const lines = text.trimEnd().split("\n");
    return lines.every((line) => line.startsWith("{"))
      ? lines.map((line) => JSON.parse(line) as unknown)
      : text;
  }
}

const rules: readonly (readonly [RegExp, string])[] = [
  [/\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b/g, "<uid>"],
  [/\b20(?:2[5-9]|[3-9]\d)-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z/g, "<time>"],
  [/eyJ[\w-]+\.[\w-]+\.[\w-]+/g, "<jwt>"],
  [/kube-api-access-[a-z0-9]{5}\b/g, "kube-api-access-<rand>"],
  [/(ResourceVersion in (?:precondition|object meta): )\d+/g, "$1<rv>"],
  [/(resource version: |current: )\(?\d+/g, "$1<rv>"],
];

function normalise(value: unknown, token: string, asked: string, key = ""): unknown {
  if (Array.isArray(value)) return value.map((item) => normalise(item, token, asked, key));
  if (typeof value === "string") {
    if (key === "resourceVersion" && /^[1-9]\d*$/.test(value)) return "<rv>";
    if (key === "continue" && value !== "") return "<continue>";
    if (
      (key === "clusterIP" || key === "clusterIPs") &&
      /^10\.43\.\d+\.\d+$/.test(value) &&
      !asked.includes(value)
    )
      return "<clusterIP>";
    return rules.reduce(
      (text, [pattern, by]) => text.replace(pattern, by),
      value.replaceAll(token, "@ns@"),
    );
  }
  if (typeof value !== "object" || value === null) return value;
  const result: Record<string, unknown> = {};
  for (const [name, inner] of Object.entries(value)) {
    if (name === "managedFields" || name === "description") continue;
    result[name] = normalise(inner, token, asked, name);
  }
  const meta = result["metadata"] as { name?: string; generateName?: string } | undefined;
  if (
    meta?.generateName !== undefined &&
    meta.name?.startsWith(meta.generateName.slice(0, 58)) === true
  )
    meta.name = `${meta.generateName}<rand>`;
  if (result["kind"] === "Table") {
    const columns = (result["columnDefinitions"] ?? []) as readonly { name: string }[];
    for (const row of (result["rows"] ?? []) as { cells: unknown[] }[]) {
      row.cells = row.cells.map((cell, index) =>
        ["Age", "Last Seen", "First Seen"].includes(columns[index]?.name ?? "") &&
        typeof cell === "string" &&
        /^[\d.smhdy]+$/.test(cell)
          ? "<age>"
          : cell,
      );
    }
  }
  return result;
}

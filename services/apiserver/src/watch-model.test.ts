/**
 * Random writes and random watchers against a naive model. Pins: no event is lost or doubled, types follow membership (ADDED only what was absent, MODIFIED and
 * DELETED only what was there), revisions rise, and a watch from an old revision (window, or store's log) leads to the same state as one from now.
 */
import { deepEqual, equal, ok } from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import fc from "fast-check";
import { ask, configMap, startFixture, type Fixture } from "./testing/apiserver-fixture.ts";

const namespaces = ["red", "blue"];
const teams = ["a", "b", "c"];

type Step =
  | {
      readonly kind: "put";
      readonly namespace: string;
      readonly name: string;
      readonly team: string;
    }
  | { readonly kind: "delete"; readonly namespace: string; readonly name: string }
  | {
      readonly kind: "watch";
      readonly namespace: string;
      readonly selector: string;
      readonly back: number;
    };

const namespace = fc.constantFrom(...namespaces);
const name = fc.integer({ min: 0, max: 6 }).map((number) => `m${number}`);
const steps = fc.array(
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        kind: fc.constant("put" as const),
        namespace,
        name,
        team: fc.constantFrom(...teams),
      }),
    },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant("delete" as const), namespace, name }) },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant("watch" as const),
        namespace: fc.constantFrom("", ...namespaces),
        selector: fc.constantFrom(
          "",
          "labelSelector=team%3Da",
          "labelSelector=team%20in%20(a,b)",
          "labelSelector=team!%3Dc",
          "fieldSelector=metadata.name%3Dm3",
        ),
        back: fc.integer({ min: 0, max: 60 }),
      }),
    },
  ),
  { minLength: 60, maxLength: 160 },
);

describe("watches", () => {
  let fixture: Fixture;
  before(async () => {
    fixture = await startFixture({ config: { watchWindowEvents: 16 } });
    for (const one of namespaces)
      await ask(fixture.admin, "POST", "/api/v1/namespaces", { metadata: { name: one } });
  });
  after(() => fixture.close());

  it("show every watcher exactly what its selector selects, wherever it began", async () => {
    await fc.assert(
      fc.asyncProperty(steps, (script) => run(fixture, script)),
      { numRuns: 12, seed: 20 },
    );
  });
});

/** One write, and what was there before and after it. */
interface Change {
  readonly revision: number;
  readonly key: string;
  readonly before: string | undefined;
  readonly after: string | undefined;
}

async function run(fixture: Fixture, script: readonly Step[]): Promise<void> {
  for (const one of namespaces)
    await ask(fixture.admin, "DELETE", `/api/v1/namespaces/${one}/configmaps`);
  const objects = new Map<string, string>();
  const changes: Change[] = [
    { revision: await revisionOf(fixture), key: "", before: undefined, after: undefined },
  ];
  const watchers: Watcher[] = [];
  for (const step of script) {
    if (step.kind === "watch") {
      watchers.push(
        await Watcher.open(
          fixture,
          step,
          changes,
          changes.length - 1 - Math.min(step.back, changes.length - 1),
        ),
      );
      continue;
    }
    const key = `${step.namespace}/${step.name}`;
    const path = `/api/v1/namespaces/${step.namespace}/configmaps`;
    const before = objects.get(key);
    if (step.kind === "delete") {
      if (before === undefined) continue;
      equal((await ask(fixture.admin, "DELETE", `${path}/${step.name}`)).status, 200);
      objects.delete(key);
      changes.push({ revision: await revisionOf(fixture), key, before, after: undefined });
      continue;
    }
    const body = configMap(step.name, { at: String(changes.length) }, { team: step.team });
    const written =
      before === undefined
        ? await ask(fixture.admin, "POST", path, body)
        : await ask(fixture.admin, "PUT", `${path}/${step.name}`, body);
    ok(written.status < 300, written.text);
    objects.set(key, step.team);
    changes.push({
      revision: Number(written.json.metadata.resourceVersion),
      key,
      before,
      after: step.team,
    });
  }
  for (const watcher of watchers) await watcher.check(changes);
}

type WatchStep = Extract<Step, { kind: "watch" }>;

class Watcher {
  readonly #step: WatchStep;
  readonly #start: number;
  readonly #leave: AbortController;
  readonly #seen: Map<string, string>;
  readonly #reading: Promise<void>;
  #revision: number;
  #wake: (() => void) | undefined;

  private constructor(
    step: WatchStep,
    changes: readonly Change[],
    start: number,
    body: AsyncIterable<Uint8Array>,
    leave: AbortController,
  ) {
    this.#step = step;
    this.#start = start;
    this.#leave = leave;
    this.#revision = changes[start]!.revision;
    this.#seen = stateAfter(changes.slice(0, start + 1), step);
    this.#reading = this.#read(body);
  }

  /** Watches from the revision of `changes[start]`. */
  static async open(
    fixture: Fixture,
    step: WatchStep,
    changes: readonly Change[],
    start: number,
  ): Promise<Watcher> {
    const leave = new AbortController();
    const scope =
      step.namespace === ""
        ? "/api/v1/configmaps"
        : `/api/v1/namespaces/${step.namespace}/configmaps`;
    const path = `${scope}?watch=1&resourceVersion=${changes[start]!.revision}&${step.selector}`;
    const response = await fixture.admin.roundTrip({ method: "GET", path, signal: leave.signal });
    equal(response.status, 200);
    return new Watcher(step, changes, start, response.body, leave);
  }

  async check(changes: readonly Change[]): Promise<void> {
    const relevant = changes
      .slice(this.#start + 1)
      .filter(
        ({ key, before, after }) =>
          selects(this.#step, key, before) || selects(this.#step, key, after),
      );
    const last = relevant.at(-1)?.revision ?? this.#revision;
    while (this.#revision < last) {
      await Promise.race([
        this.#reading,
        new Promise<void>((resolve) => {
          this.#wake = resolve;
        }),
      ]);
    }
    equal(this.#revision, last);
    deepEqual(this.#seen, stateAfter(changes, this.#step));
    this.#leave.abort();
    await this.#reading;
  }

  async #read(body: AsyncIterable<Uint8Array>): Promise<void> {
    let rest = "";
    try {
      for await (const chunk of body) {
        rest += Buffer.from(chunk).toString();
        const lines = rest.split("\n");
        rest = lines.pop()!;
        for (const line of lines) this.#apply(JSON.parse(line) as WatchLine);
      }
    } catch (error) {
      if (!this.#leave.signal.aborted) throw error;
    }
  }

  #apply({ type, object: { metadata } }: WatchLine): void {
    const key = `${metadata.namespace}/${metadata.name}`;
    ok(
      Number(metadata.resourceVersion) > this.#revision,
      `revision ${metadata.resourceVersion} after ${this.#revision}`,
    );
    this.#revision = Number(metadata.resourceVersion);
    equal(type === "ADDED", !this.#seen.has(key), `${type} ${key}`);
    if (type === "DELETED") this.#seen.delete(key);
    else this.#seen.set(key, metadata.labels?.team ?? "");
    this.#wake?.();
  }
}

interface WatchLine {
  readonly type: string;
  readonly object: {
    readonly metadata: {
      readonly namespace: string;
      readonly name: string;
      readonly resourceVersion: string;
      readonly labels?: { readonly team?: string };
    };
  };
}

function stateAfter(changes: readonly Change[], step: WatchStep): Map<string, string> {
  const state = new Map<string, string>();
  for (const { key, after } of changes) {
    if (after !== undefined && selects(step, key, after)) state.set(key, after);
    else state.delete(key);
  }
  return state;
}

/** The naive reading of the five selectors above. */
function selects(
  { namespace: of, selector }: WatchStep,
  key: string,
  team: string | undefined,
): boolean {
  if (team === undefined || !key.startsWith(of)) return false;
  if (selector.startsWith("fieldSelector")) return key.endsWith("/m3");
  if (selector.includes("!")) return team !== "c";
  if (selector.includes("in")) return team === "a" || team === "b";
  return selector === "" || team === "a";
}

async function revisionOf(fixture: Fixture): Promise<number> {
  return Number(
    (await ask(fixture.admin, "GET", "/api/v1/namespaces/red/configmaps?limit=1")).json.metadata
      .resourceVersion,
  );
}

/**
 * Random writes and random watchers against a naive model. Pins: no event is lost or doubled, types follow membership (ADDED only what was absent, MODIFIED and
 * DELETED only what was there), revisions rise, and a watch from an old revision (window, or store's log) leads to the same state as one from now.
 */
import { deepEqual, equal, ok } from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import fc from "fast-check";
import { ask, configMap, startFixture, type Fixture } from "./apiserver-fixture.ts";

const namespaces = ["red", "blue"];
const teams = ["a", "b", "c"];

type Step =
  | { readonly kind: "put"; readonly namespace: string; readonly name: string; readonly team: string }
  | { readonly kind: "delete"; readonly namespace: string; readonly name: string }
  | { readonly kind: "watch"; readonly namespace: string; readonly selector: string; readonly back: number };

const namespace = fc.constantFrom(...namespaces);
const name = fc.integer({ min: 0, max: 6 }).map((number) => `m${number}`);
const steps = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.record({ kind: fc.constant("put" as const), namespace, name, team: fc.constantFrom(...teams) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant("delete" as const), namespace, name }) },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant("watch" as const),
        namespace: fc.constantFrom("", ...namespaces),
        selector: fc.constantFrom("", "labelSelector=team%3Da", "labelSelector=team%20in%20(a,b)", "labelSelector=team!%3Dc", "fieldSelector=metadata.name%3Dm3"),
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
    for (const one of namespaces) await ask(fixture.admin, "POST", "/api/v1/namespaces", { metadata: { name: one } });
  });
  after(() => fixture.close());

  it("show every watcher exactly what its selector selects, wherever it began", async () => {
    await fc.assert(fc.asyncProperty(steps, (script) => run(fixture, script)), { numRuns: 12, seed: 20 });
  });
});

interface State {
  readonly revision: number;
  /** "namespace/name" -> team. */
  readonly objects: ReadonlyMap<string, string>;
}

async function run(fixture: Fixture, script: readonly Step[]): Promise<void> {
  await clear(fixture);
  const objects = new Map<string, string>();
  const history: State[] = [{ revision: await revisionOf(fixture), objects: new Map() }];
  const watchers: Watcher[] = [];
  for (const step of script) {
    if (step.kind === "watch") {
      const start = history[Math.max(0, history.length - 1 - step.back)]!;
      watchers.push(await Watcher.open(fixture, step, start));
      continue;
    }
    const key = `${step.namespace}/${step.name}`;
    const path = `/api/v1/namespaces/${step.namespace}/configmaps`;
    const exists = objects.has(key);
    if (step.kind === "delete" && !exists) continue;
    if (step.kind === "delete") {
      equal((await ask(fixture.admin, "DELETE", `${path}/${step.name}`)).status, 200);
      objects.delete(key);
      history.push({ revision: await revisionOf(fixture), objects: new Map(objects) });
      continue;
    }
    const body = configMap(step.name, { at: String(history.length) }, { team: step.team });
    const written = exists ? await ask(fixture.admin, "PUT", `${path}/${step.name}`, body) : await ask(fixture.admin, "POST", path, body);
    ok(written.status < 300, written.text);
    objects.set(key, step.team);
    history.push({ revision: Number(written.json.metadata.resourceVersion), objects: new Map(objects) });
  }
  const end = await revisionOf(fixture);
  for (const watcher of watchers) deepEqual(await watcher.stateAt(end), select(objects, watcher.namespace, watcher.selector));
}

class Watcher {
  readonly namespace: string;
  readonly selector: string;
  readonly #fixture: Fixture;
  readonly #leave = new AbortController();
  readonly #seen: Map<string, string>;
  readonly #reading: Promise<void>;
  #revision: number;
  #wake: (() => void) | undefined;

  private constructor(fixture: Fixture, step: Extract<Step, { kind: "watch" }>, start: State, body: AsyncIterable<Uint8Array>, leave: AbortController) {
    this.#fixture = fixture;
    this.#leave = leave;
    this.namespace = step.namespace;
    this.selector = step.selector;
    this.#revision = start.revision;
    this.#seen = select(start.objects, step.namespace, step.selector);
    this.#reading = this.#read(body);
  }

  static async open(fixture: Fixture, step: Extract<Step, { kind: "watch" }>, start: State): Promise<Watcher> {
    const leave = new AbortController();
    const scope = step.namespace === "" ? "/api/v1/configmaps" : `/api/v1/namespaces/${step.namespace}/configmaps`;
    const response = await fixture.admin.roundTrip({
      method: "GET",
      path: `${scope}?watch=1&resourceVersion=${start.revision}&${step.selector}`,
      signal: leave.signal,
    });
    equal(response.status, 200);
    return new Watcher(fixture, step, start, response.body, leave);
  }

  /** Waits for a marker object that every selector selects, then compares. */
  async stateAt(_revision: number): Promise<Map<string, string>> {
    const place = this.namespace === "" ? "red" : this.namespace;
    const marker = this.selector.startsWith("field") ? "m3" : "marker";
    await ask(this.#fixture.admin, "DELETE", `/api/v1/namespaces/${place}/configmaps/${marker}`);
    const before = new Map(this.#seen);
    await ask(this.#fixture.admin, "POST", `/api/v1/namespaces/${place}/configmaps`, configMap(marker, {}, { team: "a" }));
    const key = `${place}/${marker}`;
    while (this.#seen.get(key) !== "a" || (before.has(key) && marker !== "m3")) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const state = new Map(this.#seen);
    state.delete(key);
    await ask(this.#fixture.admin, "DELETE", `/api/v1/namespaces/${place}/configmaps/${marker}`);
    this.#leave.abort();
    await this.#reading;
    return state;
  }

  async #read(body: AsyncIterable<Uint8Array>): Promise<void> {
    let rest = "";
    try {
      for await (const chunk of body) {
        rest += Buffer.from(chunk).toString();
        const lines = rest.split("\n");
        rest = lines.pop()!;
        for (const line of lines) this.#apply(JSON.parse(line) as { type: string; object: { metadata: Record<string, never> } });
      }
    } catch (error) {
      if (!this.#leave.signal.aborted) throw error;
    }
  }

  #apply({ type, object }: { type: string; object: { metadata: Record<string, unknown> } }): void {
    const metadata = object.metadata as { namespace: string; name: string; resourceVersion: string; labels?: { team?: string } };
    const key = `${metadata.namespace}/${metadata.name}`;
    ok(Number(metadata.resourceVersion) > this.#revision, `revision ${metadata.resourceVersion} after ${this.#revision}`);
    this.#revision = Number(metadata.resourceVersion);
    equal(type === "ADDED", !this.#seen.has(key), `${type} ${key}`);
    if (type === "DELETED") this.#seen.delete(key);
    else this.#seen.set(key, metadata.labels?.team ?? "");
    this.#wake?.();
    this.#wake = undefined;
  }
}

function select(objects: ReadonlyMap<string, string>, inNamespace: string, selector: string): Map<string, string> {
  const matches = (key: string, team: string): boolean => {
    if (inNamespace !== "" && !key.startsWith(`${inNamespace}/`)) return false;
    if (selector.startsWith("fieldSelector")) return key.endsWith("/m3");
    if (selector.includes("!")) return team !== "c";
    if (selector.includes("in")) return team === "a" || team === "b";
    return selector === "" || team === "a";
  };
  return new Map([...objects].filter(([key, team]) => matches(key, team) && !key.endsWith("/marker")).filter(([key]) => !(selector.startsWith("fieldSelector") && key === `${inNamespace === "" ? "red" : inNamespace}/m3`)));
}

async function clear(fixture: Fixture): Promise<void> {
  for (const one of namespaces) await ask(fixture.admin, "DELETE", `/api/v1/namespaces/${one}/configmaps`);
}

async function revisionOf(fixture: Fixture): Promise<number> {
  return Number((await ask(fixture.admin, "GET", "/api/v1/namespaces/red/configmaps?limit=1")).json.metadata.resourceVersion);
}

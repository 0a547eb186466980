import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import type { Pod } from "@wherry/machinery";
import { restartBackoff } from "./backoff.ts";
import type { BackoffEntry } from "./backoff.ts";
import { decidePod } from "./decide.ts";
import type { DesiredPod, PodAction, ProbeOutcome } from "./decide.ts";
import { newestContainer } from "./observed.ts";
import type { ObservedContainer, ObservedPod, ObservedSandbox } from "./observed.ts";
import type { ContainerSpec } from "./pod-types.ts";
import { containerHash } from "./runtime-labels.ts";

const sandbox: ObservedSandbox = {
  id: "s0",
  attempt: 0,
  ready: true,
  createdAtMs: 0,
  ips: ["10.42.0.2"],
  network: "POD",
};

function container(name: string, more: Partial<ContainerSpec> = {}): ContainerSpec {
  return { name, image: "i", ...more };
}

function podOf(spec: Partial<Pod["spec"]>, metadata: Partial<Pod["metadata"]> = {}): Pod {
  return {
    metadata: { name: "p", namespace: "default", uid: "u", ...metadata },
    spec: { containers: [container("app")], restartPolicy: "Always", ...spec },
  };
}

function instance(name: string, more: Partial<ObservedContainer> = {}): ObservedContainer {
  return {
    id: `${name}-0`,
    name,
    sandboxId: "s0",
    state: "RUNNING",
    restartCount: 0,
    hash: containerHash(container(name)),
    image: "i",
    imageRef: "i",
    createdAtMs: 1_000,
    startedAtMs: 1_000,
    finishedAtMs: 0,
    exitCode: 0,
    reason: "",
    message: "",
    logPath: "",
    terminationLog: undefined,
    terminationMessagePolicy: "",
    pid: undefined,
    ...more,
  };
}

const exited = (
  name: string,
  exitCode: number,
  more: Partial<ObservedContainer> = {},
): ObservedContainer => instance(name, { state: "EXITED", exitCode, finishedAtMs: 2_000, ...more });

function wanted(pod: Pod, more: Partial<DesiredPod> = {}): DesiredPod {
  return {
    pod,
    mode: "run",
    probes: () => ({}),
    backoff: () => undefined,
    backoffLimits: restartBackoff,
    restartCount: () => 0,
    ...more,
  };
}

/** Actions in short: `start app#1`, `kill app: message`. */
function brief(actions: readonly PodAction[]): readonly string[] {
  return actions.map((one) => {
    switch (one.kind) {
      case "startContainer":
        return `start ${one.name}#${one.restartCount}`;
      case "killContainer":
        return `kill ${one.name}: ${one.message}`;
      case "holdBack":
        return `hold ${one.name} ${one.delayMs}`;
      case "createSandbox":
        return `sandbox#${one.attempt}`;
      case "removeContainers":
        return `remove ${one.ids.join(" ")}`;
      case "killPod":
        return "killPod";
    }
  });
}

interface Case {
  readonly name: string;
  readonly pod: Pod;
  readonly observed: Partial<ObservedPod>;
  readonly desired?: Partial<DesiredPod>;
  readonly nowMs?: number;
  readonly expected: readonly string[];
}

const two = podOf({ initContainers: [container("i1"), container("i2")] });
const sidecar = podOf({
  initContainers: [container("side", { restartPolicy: "Always" }), container("i2")],
});
const probed = podOf({
  containers: [container("app", { livenessProbe: { exec: { command: ["x"] } } })],
});
const failing = (outcome: ProbeOutcome): Partial<DesiredPod> => ({ probes: () => outcome });

const cases: readonly Case[] = [
  { name: "a new pod gets a sandbox first", pod: podOf({}), observed: {}, expected: ["sandbox#0"] },
  {
    name: "a container starts in a ready sandbox",
    pod: podOf({}),
    observed: { sandboxes: [sandbox] },
    expected: ["start app#0"],
  },
  {
    name: "a running pod is left alone",
    pod: podOf({}),
    observed: { sandboxes: [sandbox], containers: [instance("app")] },
    expected: [],
  },
  {
    name: "a sandbox without an address is replaced",
    pod: podOf({}),
    observed: { sandboxes: [{ ...sandbox, ips: [] }] },
    expected: ["killPod", "sandbox#1"],
  },
  {
    name: "a pod on the host's network needs no address",
    pod: podOf({ hostNetwork: true }),
    observed: { sandboxes: [{ ...sandbox, ips: [], network: "NODE" }] },
    expected: ["start app#0"],
  },
  {
    name: "a lost sandbox takes init containers with it",
    pod: two,
    observed: {
      sandboxes: [{ ...sandbox, ready: false }],
      containers: [exited("app", 1), exited("i1", 0)],
    },
    expected: ["remove i1-0", "sandbox#1"],
  },
  {
    name: "a lost sandbox of a finished pod is not replaced",
    pod: podOf({ restartPolicy: "Never" }),
    observed: { sandboxes: [{ ...sandbox, ready: false }], containers: [exited("app", 0)] },
    expected: [],
  },
  {
    name: "a lost sandbox is not replaced when OnFailure has succeeded",
    pod: podOf({ restartPolicy: "OnFailure" }),
    observed: { sandboxes: [{ ...sandbox, ready: false }], containers: [exited("app", 0)] },
    expected: [],
  },
  {
    name: "the first init container goes first",
    pod: two,
    observed: { sandboxes: [sandbox] },
    expected: ["start i1#0"],
  },
  {
    name: "a running init container is waited for",
    pod: two,
    observed: { sandboxes: [sandbox], containers: [instance("i1")] },
    expected: [],
  },
  {
    name: "the next init container follows a successful one",
    pod: two,
    observed: { sandboxes: [sandbox], containers: [exited("i1", 0)] },
    expected: ["start i2#0"],
  },
  {
    name: "main containers follow the last init container",
    pod: two,
    observed: { sandboxes: [sandbox], containers: [exited("i2", 0), exited("i1", 0)] },
    expected: ["start app#0"],
  },
  {
    name: "a failed init container is started again",
    pod: two,
    observed: { sandboxes: [sandbox], containers: [exited("i1", 1)] },
    expected: ["start i1#1"],
  },
  {
    name: "a failed init container ends a pod that never restarts",
    pod: podOf({ initContainers: [container("i1")], restartPolicy: "Never" }),
    observed: { sandboxes: [sandbox], containers: [exited("i1", 1)] },
    expected: ["killPod"],
  },
  {
    name: "init containers are not run again while a main one runs",
    pod: two,
    observed: { sandboxes: [sandbox], containers: [instance("app")] },
    expected: [],
  },
  {
    name: "an init container follows a sidecar that has started",
    pod: sidecar,
    observed: { sandboxes: [sandbox], containers: [instance("side")] },
    expected: ["start i2#0"],
  },
  {
    name: "a sidecar with a startup probe is waited for",
    pod: podOf({
      initContainers: [container("side", { restartPolicy: "Always", startupProbe: {} })],
    }),
    observed: { sandboxes: [sandbox], containers: [instance("side")] },
    expected: [],
  },
  {
    name: "a sidecar whose startup probe passed lets the main container start",
    pod: podOf({
      initContainers: [container("side", { restartPolicy: "Always", startupProbe: {} })],
    }),
    observed: { sandboxes: [sandbox], containers: [instance("side")] },
    desired: failing({ startup: "success" }),
    expected: ["start app#0"],
  },
  {
    name: "a sidecar that ended is started beside the main container",
    pod: sidecar,
    observed: { sandboxes: [sandbox], containers: [instance("app"), exited("side", 0)] },
    expected: ["start side#1"],
  },
  {
    name: "sidecars are ended once the main containers are done",
    pod: podOf({
      initContainers: [container("side", { restartPolicy: "Always" })],
      restartPolicy: "Never",
    }),
    observed: { sandboxes: [sandbox], containers: [exited("app", 0), instance("side")] },
    expected: ["killPod"],
  },
  {
    name: "a container that ended restarts at once the first time",
    pod: podOf({}),
    observed: { sandboxes: [sandbox], containers: [exited("app", 1)] },
    expected: ["start app#1"],
  },
  {
    name: "a container that ended again is held back",
    pod: podOf({}),
    observed: { sandboxes: [sandbox], containers: [exited("app", 1)] },
    desired: { backoff: () => ({ delayMs: 10_000, updatedAtMs: 1_000 }) },
    nowMs: 5_000,
    expected: ["hold app 10000"],
  },
  {
    name: "a back-off ends with its time",
    pod: podOf({}),
    observed: { sandboxes: [sandbox], containers: [exited("app", 1)] },
    desired: { backoff: () => ({ delayMs: 10_000, updatedAtMs: 1_000 }) },
    nowMs: 12_000,
    expected: ["start app#1"],
  },
  {
    name: "OnFailure does not restart success",
    pod: podOf({ restartPolicy: "OnFailure" }),
    observed: { sandboxes: [sandbox], containers: [exited("app", 0)] },
    expected: ["killPod"],
  },
  {
    name: "Never does not restart failure",
    pod: podOf({ restartPolicy: "Never" }),
    observed: { sandboxes: [{ ...sandbox, ready: true }], containers: [exited("app", 1)] },
    expected: ["killPod"],
  },
  {
    name: "a container's own policy wins over the pod's",
    pod: podOf({
      restartPolicy: "Never",
      containers: [container("app", { restartPolicy: "OnFailure" })],
    }),
    observed: { sandboxes: [sandbox], containers: [exited("app", 1)] },
    expected: ["start app#1"],
  },
  {
    name: "a restart rule for the exit code wins over the policy",
    pod: podOf({
      restartPolicy: "Never",
      containers: [
        container("app", {
          restartPolicy: "Never",
          restartPolicyRules: [{ action: "Restart", exitCodes: { operator: "In", values: [42] } }],
        }),
      ],
    }),
    observed: { sandboxes: [sandbox], containers: [exited("app", 42)] },
    expected: ["start app#1"],
  },
  {
    name: "a failed liveness probe ends the container",
    pod: probed,
    observed: { sandboxes: [sandbox], containers: [instance("app")] },
    desired: failing({ liveness: "failure" }),
    expected: ["kill app: Container app failed liveness probe, will be restarted"],
  },
  {
    name: "a failed liveness probe of a pod that never restarts says nothing of a restart",
    pod: { ...probed, spec: { ...probed.spec, restartPolicy: "Never" } },
    observed: { sandboxes: [sandbox], containers: [instance("app")] },
    desired: failing({ liveness: "failure" }),
    expected: ["kill app: Container app failed liveness probe"],
  },
  {
    name: "a failed startup probe ends the container",
    pod: probed,
    observed: { sandboxes: [sandbox], containers: [instance("app")] },
    desired: failing({ startup: "failure" }),
    expected: ["kill app: Container app failed startup probe, will be restarted"],
  },
  {
    name: "a changed image ends the container",
    pod: podOf({}),
    observed: { sandboxes: [sandbox], containers: [instance("app", { hash: "other" })] },
    expected: ["kill app: Container app definition changed, will be restarted"],
  },
  {
    name: "a container that was created but not started is made anew",
    pod: podOf({}),
    observed: { sandboxes: [sandbox], containers: [instance("app", { state: "CREATED" })] },
    expected: ["start app#1"],
  },
  {
    name: "an ephemeral container starts while init containers still run",
    pod: podOf({ initContainers: [container("i1")], ephemeralContainers: [{ name: "debug" }] }),
    observed: { sandboxes: [sandbox], containers: [instance("i1")] },
    expected: ["start debug#0"],
  },
  {
    name: "an ephemeral container is never restarted",
    pod: podOf({ ephemeralContainers: [{ name: "debug" }] }),
    observed: { sandboxes: [sandbox], containers: [instance("app"), exited("debug", 1)] },
    expected: [],
  },
  {
    name: "a pod that is to end is killed",
    pod: podOf({}),
    observed: { sandboxes: [sandbox], containers: [instance("app")] },
    desired: { mode: "terminate" },
    expected: ["killPod"],
  },
  {
    name: "a pod that is to end starts nothing",
    pod: podOf({}),
    observed: {},
    desired: { mode: "terminate" },
    expected: [],
  },
  {
    name: "restart counts of a runtime that forgot go on from the status",
    pod: podOf({}),
    observed: { sandboxes: [sandbox] },
    desired: { restartCount: () => 4 },
    expected: ["start app#4"],
  },
];

describe("decidePod", () => {
  for (const one of cases) {
    it(one.name, () => {
      const plan = decidePod(
        wanted(one.pod, one.desired),
        { sandboxes: [], containers: [], ...one.observed },
        one.nowMs ?? 3_000,
      );
      assert.deepEqual(brief(plan.actions), one.expected);
    });
  }

  it("is finished only when nothing runs and no sandbox is left", () => {
    const end = wanted(podOf({}), { mode: "terminate" });
    assert.equal(decidePod(end, { sandboxes: [sandbox], containers: [] }, 0).finished, false);
    assert.equal(
      decidePod(
        end,
        { sandboxes: [{ ...sandbox, ready: false }], containers: [exited("app", 0)] },
        0,
      ).finished,
      true,
    );
  });

  it("keeps its promises whatever happens to containers and sandboxes", () => {
    fc.assert(
      fc.property(podArbitrary, fc.array(eventArbitrary, { maxLength: 25 }), (pod, events) => {
        const model = new PodModel(pod);
        model.settle();
        for (const event of events) {
          model.suffer(event);
          model.settle();
        }
        model.terminate();
        model.settle();
        assert.equal(model.plan().finished, true);
      }),
      { seed: 20261120, numRuns: 300 },
    );
  });
});

const podArbitrary: fc.Arbitrary<Pod> = fc
  .record({
    restartPolicy: fc.constantFrom("Always", "OnFailure", "Never"),
    init: fc.array(fc.boolean(), { maxLength: 3 }),
    main: fc.integer({ min: 1, max: 3 }),
  })
  .map(({ restartPolicy, init, main }) =>
    podOf({
      restartPolicy,
      initContainers: init.map((isSidecar, index) =>
        container(`init${index}`, isSidecar ? { restartPolicy: "Always" } : {}),
      ),
      containers: Array.from({ length: main }, (_, index) => container(`main${index}`)),
    }),
  );

type ModelEvent =
  | { readonly kind: "exit"; readonly pick: number; readonly code: number }
  | { readonly kind: "loseSandbox" }
  | { readonly kind: "pass"; readonly ms: number };

const eventArbitrary: fc.Arbitrary<ModelEvent> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("exit" as const),
      pick: fc.nat(10),
      code: fc.constantFrom(0, 0, 1, 137),
    }),
  },
  { weight: 1, arbitrary: fc.constant<ModelEvent>({ kind: "loseSandbox" }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("pass" as const),
      ms: fc.integer({ min: 1, max: 400_000 }),
    }),
  },
);

/** A runtime that does what it is told, and checks what it is told. */
class PodModel {
  readonly #pod: Pod;
  readonly #backoffs = new Map<string, BackoffEntry>();
  #observed: ObservedPod = { sandboxes: [], containers: [] };
  #mode: "run" | "terminate" = "run";
  #nowMs = 1_000;
  #serial = 0;
  /** Init containers that ended well in the present sandbox. */
  #initDone = new Set<string>();

  constructor(pod: Pod) {
    this.#pod = pod;
  }

  plan(): ReturnType<typeof decidePod> {
    return decidePod(
      wanted(this.#pod, { mode: this.#mode, backoff: (name) => this.#backoffs.get(name) }),
      this.#observed,
      this.#nowMs,
    );
  }

  terminate(): void {
    this.#mode = "terminate";
  }

  settle(): void {
    for (let rounds = 0; ; rounds += 1) {
      assert.ok(rounds < 50, "decisions come to rest");
      const actions = this.plan().actions.filter((one) => one.kind !== "holdBack");
      if (actions.length === 0) return;
      for (const action of actions) {
        this.#perform(action);
        if (action.kind === "killPod" || action.kind === "createSandbox") break;
      }
    }
  }

  suffer(event: ModelEvent): void {
    this.#nowMs += 1;
    if (event.kind === "pass") this.#nowMs += event.ms;
    else if (event.kind === "loseSandbox") {
      this.#exit(() => true, 137);
      this.#observed = {
        ...this.#observed,
        sandboxes: this.#observed.sandboxes.map((one) => ({ ...one, ready: false })),
      };
    } else {
      const running = this.#observed.containers.filter((one) => one.state === "RUNNING");
      const victim = running[event.pick % Math.max(running.length, 1)];
      if (victim !== undefined) this.#exit((one) => one === victim, event.code);
    }
  }

  #exit(which: (container: ObservedContainer) => boolean, exitCode: number): void {
    this.#observed = {
      ...this.#observed,
      containers: this.#observed.containers.map((one) => {
        if (one.state !== "RUNNING" || !which(one)) return one;
        if (exitCode === 0) this.#initDone.add(one.name);
        return { ...one, state: "EXITED", exitCode, finishedAtMs: this.#nowMs };
      }),
    };
  }

  #perform(action: PodAction): void {
    this.#nowMs += 1;
    this.#serial += 1;
    switch (action.kind) {
      case "killPod":
        this.#exit(() => true, 137);
        this.#observed = {
          ...this.#observed,
          sandboxes: this.#observed.sandboxes.map((one) => ({ ...one, ready: false })),
        };
        return;
      case "removeContainers":
        this.#observed = {
          ...this.#observed,
          containers: this.#observed.containers.filter((one) => !action.ids.includes(one.id)),
        };
        return;
      case "createSandbox":
        assert.equal(this.#mode, "run");
        assert.ok(!this.#observed.sandboxes.some((one) => one.ready), "one sandbox at a time");
        this.#initDone.clear();
        this.#observed = {
          ...this.#observed,
          sandboxes: [
            {
              ...sandbox,
              id: `s${this.#serial}`,
              attempt: action.attempt,
              createdAtMs: this.#nowMs,
            },
            ...this.#observed.sandboxes,
          ],
        };
        return;
      case "killContainer":
        this.#exit((one) => one.id === action.id, 137);
        return;
      case "startContainer":
        this.#start(action);
        return;
      case "holdBack":
        return;
    }
  }

  #start(action: Extract<PodAction, { kind: "startContainer" }>): void {
    assert.equal(this.#mode, "run", "a pod that is to end starts nothing");
    const current = this.#observed.sandboxes[0];
    assert.ok(
      current?.ready === true && current.id === action.sandboxId,
      "containers start in the ready sandbox",
    );
    assert.notEqual(
      newestContainer(this.#observed, action.name)?.state,
      "RUNNING",
      "one instance at a time",
    );
    if (action.role === "main") this.#assertInitDone(action.name);
    if (action.backoff !== undefined) this.#backoffs.set(action.name, action.backoff);
    const started = instance(action.name, {
      id: `${action.name}-${this.#serial}`,
      sandboxId: current.id,
      restartCount: action.restartCount,
      createdAtMs: this.#nowMs,
      startedAtMs: this.#nowMs,
    });
    this.#observed = { ...this.#observed, containers: [started, ...this.#observed.containers] };
  }

  #assertInitDone(starting: string): void {
    const anyMain = (this.#pod.spec.containers ?? []).some(
      (one) =>
        one.name !== starting && newestContainer(this.#observed, one.name)?.state === "RUNNING",
    );
    if (anyMain) return; // The pod is past its initialisation.
    for (const one of this.#pod.spec.initContainers ?? []) {
      const newest = newestContainer(this.#observed, one.name);
      const done =
        one.restartPolicy === "Always" ? newest !== undefined : this.#initDone.has(one.name);
      assert.ok(done, `${starting} started before ${one.name} was done`);
    }
  }
}

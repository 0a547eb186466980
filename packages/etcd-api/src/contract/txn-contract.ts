import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Compare, CompareResult, RequestOp, TxnRequest, TxnResponse } from "../kv.ts";
import { isError } from "./range-contract.ts";
import { scopeOf, type Scope, type Subject } from "./store-under-test.ts";

/** Txn: compares, branches, nesting, and what is refused. */
export function describeTxnContract(subject: Subject): void {
  const scope = (): Scope => scopeOf(subject().store);
  const run = (s: Scope, request: Partial<TxnRequest>): Promise<TxnResponse> =>
    s.store.txn({ compare: [], success: [], failure: [], ...request });
  const put = (s: Scope, name: string, value = name): RequestOp => ({
    kind: "put",
    request: { key: s.key(name), value: Buffer.from(value) },
  });
  const get = (s: Scope, name: string): RequestOp => ({
    kind: "range",
    request: { key: s.key(name) },
  });
  const drop = (s: Scope, name: string): RequestOp => ({
    kind: "deleteRange",
    request: { key: s.key(name) },
  });

  describe("txn", () => {
    it("creates a key only when it is absent, as kube-apiserver does", async () => {
      const s = scope();
      const compare: Compare[] = [{ target: "mod", result: "equal", key: s.key("a"), operand: 0 }];
      const first = await run(s, { compare, success: [put(s, "a", "1")] });
      const second = await run(s, { compare, success: [put(s, "a", "2")] });
      assert.deepEqual([first.succeeded, second.succeeded], [true, false]);
      assert.equal(second.header.revision, first.header.revision);
      assert.deepEqual(second.responses, []);
      assert.equal(await s.value("a"), "1");
    });

    it("updates and deletes at the expected revision, and gives the current pair otherwise", async () => {
      const s = scope();
      const revision = await s.put("a", "1");
      const at = (operand: number): Compare[] => [
        { target: "mod", result: "equal", key: s.key("a"), operand },
      ];
      const update = await run(s, {
        compare: at(revision),
        success: [put(s, "a", "2")],
        failure: [get(s, "a")],
      });
      assert.equal(update.succeeded, true);
      const stale = await run(s, {
        compare: at(revision),
        success: [put(s, "a", "3")],
        failure: [get(s, "a")],
      });
      assert.equal(stale.succeeded, false);
      const [response] = stale.responses;
      assert.ok(response?.kind === "range");
      assert.deepEqual(
        [response.response.kvs[0]?.value.toString(), response.response.kvs[0]?.modRevision],
        ["2", revision + 1],
      );
      const removed = await run(s, {
        compare: at(revision + 1),
        success: [drop(s, "a")],
        failure: [get(s, "a")],
      });
      assert.deepEqual([removed.succeeded, removed.header.revision], [true, revision + 2]);
      assert.deepEqual(
        removed.responses.map((op) => (op.kind === "deleteRange" ? op.response.deleted : -1)),
        [1],
      );
    });

    it("compares every target with every result", async () => {
      const s = scope();
      const { id } = await s.store.leaseGrant({ ttl: 600 });
      const created = await s.put("a", "m", id);
      const modified = await s.put("a", "m", id);
      const cases: readonly [
        Pick<Compare, "target" | "operand">,
        Pick<Compare, "target" | "operand">,
        Pick<Compare, "target" | "operand">,
      ][] = [
        [
          { target: "version", operand: 1 },
          { target: "version", operand: 2 },
          { target: "version", operand: 3 },
        ],
        [
          { target: "create", operand: created - 1 },
          { target: "create", operand: created },
          { target: "create", operand: created + 1 },
        ],
        [
          { target: "mod", operand: modified - 1 },
          { target: "mod", operand: modified },
          { target: "mod", operand: modified + 1 },
        ],
        [
          { target: "value", operand: Buffer.from("l") },
          { target: "value", operand: Buffer.from("m") },
          { target: "value", operand: Buffer.from("n") },
        ],
        [
          { target: "lease", operand: id - 1n },
          { target: "lease", operand: id },
          { target: "lease", operand: id + 1n },
        ],
      ];
      const holds = async (
        operand: Pick<Compare, "target" | "operand">,
        result: CompareResult,
      ): Promise<boolean> =>
        (await run(s, { compare: [{ ...operand, result, key: s.key("a") } as Compare] })).succeeded;
      for (const operands of cases) {
        for (const [index, operand] of operands.entries()) {
          const results = {
            equal: index === 1,
            notEqual: index !== 1,
            greater: index === 0,
            less: index === 2,
          };
          for (const [result, expected] of Object.entries(results)) {
            assert.equal(
              await holds(operand, result as CompareResult),
              expected,
              `${operand.target} ${result} ${operand.operand}`,
            );
          }
        }
      }
      await s.store.leaseRevoke(id);
    });

    it("compares an absent key as zero, and its value with nothing", async () => {
      const s = scope();
      const key = s.key("absent");
      const holds = async (compare: Compare): Promise<boolean> =>
        (await run(s, { compare: [compare] })).succeeded;
      assert.equal(await holds({ target: "version", result: "equal", key, operand: 0 }), true);
      assert.equal(await holds({ target: "create", result: "less", key, operand: 1 }), true);
      assert.equal(await holds({ target: "lease", result: "equal", key, operand: 0n }), true);
      assert.equal(
        await holds({ target: "value", result: "equal", key, operand: Buffer.alloc(0) }),
        false,
      );
      assert.equal(
        await holds({ target: "value", result: "notEqual", key, operand: Buffer.from("x") }),
        false,
      );
    });

    it("compares all keys of a range", async () => {
      const s = scope();
      await s.put("r/a", "same");
      await s.put("r/b", "same");
      const compare: Compare[] = [
        {
          target: "value",
          result: "equal",
          key: s.key("r/"),
          rangeEnd: s.end("r/"),
          operand: Buffer.from("same"),
        },
      ];
      assert.equal((await run(s, { compare })).succeeded, true);
      await s.put("r/b", "other");
      assert.equal((await run(s, { compare })).succeeded, false);
    });

    it("does everything in one revision, and reads see the writes before them", async () => {
      const s = scope();
      const revision = await s.put("a", "old");
      const response = await run(s, {
        success: [
          get(s, "a"),
          put(s, "a", "new"),
          get(s, "a"),
          put(s, "b"),
          drop(s, "c"),
          get(s, "b"),
        ],
      });
      assert.equal(response.header.revision, revision + 1);
      const values = response.responses.map((op) =>
        op.kind === "range" ? op.response.kvs[0]?.value.toString() : op.kind,
      );
      assert.deepEqual(values, ["old", "put", "new", "put", "deleteRange", "b"]);
      const revisions = response.responses.map((op) =>
        op.kind === "txn" ? 0 : op.response.header.revision,
      );
      assert.deepEqual(revisions, [
        revision,
        revision + 1,
        revision + 1,
        revision + 1,
        revision + 1,
        revision + 1,
      ]);
      const { kvs } = await s.store.range({ key: s.key(""), rangeEnd: s.end() });
      assert.deepEqual(
        kvs.map((kv) => kv.modRevision),
        [revision + 1, revision + 1],
      );
    });

    it("leaves the revision alone when it only reads", async () => {
      const s = scope();
      const revision = await s.put("a");
      const response = await run(s, { success: [get(s, "a"), drop(s, "absent")] });
      assert.equal(response.header.revision, revision);
    });

    it("gives previous pairs of puts and deletes", async () => {
      const s = scope();
      await s.put("a", "1");
      await s.put("b", "2");
      const { responses } = await run(s, {
        success: [
          { kind: "put", request: { key: s.key("a"), value: Buffer.from("x"), prevKv: true } },
          { kind: "deleteRange", request: { key: s.key("b"), prevKv: true } },
        ],
      });
      const [first, second] = responses;
      assert.ok(first?.kind === "put" && second?.kind === "deleteRange");
      assert.equal(first.response.prevKv?.value.toString(), "1");
      assert.deepEqual(
        second.response.prevKvs.map((kv) => kv.value.toString()),
        ["2"],
      );
    });

    it("runs nested transactions whose compares see the state before any write", async () => {
      const s = scope();
      await s.put("a", "1");
      const inner = (operand: string): RequestOp => ({
        kind: "txn",
        request: {
          compare: [
            { target: "value", result: "equal", key: s.key("a"), operand: Buffer.from(operand) },
          ],
          success: [put(s, `then-${operand}`), get(s, "a")],
          failure: [put(s, `else-${operand}`)],
        },
      });
      const response = await run(s, { success: [put(s, "a", "2"), inner("1"), inner("2")] });
      assert.deepEqual(
        response.responses.map((op) => (op.kind === "txn" ? op.response.succeeded : op.kind)),
        ["put", true, false],
      );
      const { kvs } = await s.store.range({ key: s.key(""), rangeEnd: s.end() });
      assert.deepEqual(s.names(kvs), ["a", "else-2", "then-1"]);
      const nested = response.responses[1];
      assert.ok(nested?.kind === "txn" && nested.response.responses[1]?.kind === "range");
      assert.equal(nested.response.responses[1].response.kvs[0]?.value.toString(), "2");
    });

    it("reads old revisions inside a transaction", async () => {
      const s = scope();
      const revision = await s.put("a", "1");
      const { responses } = await run(s, {
        success: [put(s, "a", "2"), { kind: "range", request: { key: s.key("a"), revision } }],
      });
      assert.ok(responses[1]?.kind === "range");
      assert.equal(responses[1].response.kvs[0]?.value.toString(), "1");
    });

    it("refuses a key that is put twice or put and deleted", async () => {
      const s = scope();
      const duplicate = isError(
        "invalidArgument",
        "etcdserver: duplicate key given in txn request",
      );
      await assert.rejects(run(s, { success: [put(s, "a"), put(s, "a")] }), duplicate);
      await assert.rejects(run(s, { success: [put(s, "a"), drop(s, "a")] }), duplicate);
      await assert.rejects(
        run(s, {
          success: [
            put(s, "b"),
            { kind: "deleteRange", request: { key: s.key("a"), rangeEnd: s.key("c") } },
          ],
        }),
        duplicate,
      );
      const nested = (name: string): RequestOp => ({
        kind: "txn",
        request: { compare: [], success: [put(s, name)], failure: [put(s, name)] },
      });
      await assert.rejects(run(s, { failure: [put(s, "a"), nested("a")] }), duplicate);
      assert.equal((await run(s, { success: [nested("a"), put(s, "b")] })).succeeded, true);
    });

    it("refuses more than 128 operations and empty keys", async () => {
      const s = scope();
      const many = Array.from({ length: 129 }, (_, index) => put(s, `k${index}`));
      await assert.rejects(
        run(s, { success: many }),
        isError("invalidArgument", "etcdserver: too many operations in txn request"),
      );
      assert.equal((await run(s, { success: many.slice(1) })).responses.length, 128);
      const compare: Compare[] = [
        { target: "mod", result: "equal", key: Buffer.alloc(0), operand: 0 },
      ];
      await assert.rejects(
        run(s, { compare }),
        isError("invalidArgument", "etcdserver: key is not provided"),
      );
    });

    it("changes nothing when one of its operations cannot be done", async () => {
      const s = scope();
      const revision = await s.put("a", "1");
      await assert.rejects(
        run(s, {
          success: [
            put(s, "a", "2"),
            { kind: "put", request: { key: s.key("b"), value: Buffer.from("b"), lease: 4242n } },
          ],
        }),
        isError("notFound", "etcdserver: requested lease not found"),
      );
      await assert.rejects(
        run(s, {
          success: [
            put(s, "a", "2"),
            { kind: "range", request: { key: s.key("b"), revision: revision + 1000 } },
          ],
        }),
        isError("outOfRange", "etcdserver: mvcc: required revision is a future revision"),
      );
      const after = await s.store.range({ key: s.key("a") });
      assert.deepEqual([after.kvs[0]?.value.toString(), after.header.revision], ["1", revision]);
    });
  });
}

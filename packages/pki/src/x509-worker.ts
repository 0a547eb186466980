import { parentPort } from "node:worker_threads";
import * as operations from "./x509-operations.ts";

/** Worker entry: one message {id, operation, args} in, one {id, result | error} out. */
type Operation = keyof typeof operations;

interface Call {
  readonly id: number;
  readonly operation: Operation;
  readonly args: readonly unknown[];
}

parentPort?.on("message", (call: Call) => {
  void answer(call);
});

async function answer(call: Call): Promise<void> {
  try {
    const operation = operations[call.operation] as (
      ...args: readonly unknown[]
    ) => Promise<unknown>;
    parentPort?.postMessage({ id: call.id, result: await operation(...call.args) });
  } catch (error) {
    parentPort?.postMessage({
      id: call.id,
      error: error instanceof Error ? error.message : String(error),
    });
  }
}

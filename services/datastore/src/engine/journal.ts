import { createDeferred, type Deferred } from "@wherry/service-kit";
import type { LeaseChange } from "../log/log.ts";
import type { KeyVersion } from "./key-version.ts";

/**
 * What was done to the state since the last batch was handed to the log: the next batch. It can be taken back, as a whole
 * or down to a mark.
 */
export class Journal {
  readonly versions: KeyVersion[] = [];
  readonly leases: LeaseChange[] = [];
  compactRevision: number | undefined;
  bytes = 0;
  /** Settles when the batch is durable or lost; whoever saw its effects waits for it. */
  readonly settled: Deferred<void> = createDeferred();
  readonly #undo: (() => void)[] = [];

  get mark(): number {
    return this.#undo.length;
  }

  get isEmpty(): boolean {
    return this.#undo.length === 0;
  }

  /** `undo` must restore the state and this journal exactly as they were before. */
  did(undo: () => void): void {
    this.#undo.push(undo);
  }

  undoTo(mark: number): void {
    while (this.#undo.length > mark) this.#undo.pop()?.();
  }

  /** Forgets how to undo, once there is no need to. */
  seal(): void {
    this.#undo.length = 0;
  }
}

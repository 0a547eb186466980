/** Cuts long work into slices, so that timers and sockets get their turn in between. */
export interface Pacer {
  /** Undefined while the slice may go on; else a promise to await before going on. */
  pause(): Promise<void> | undefined;
}

/** Half of what the house allows for one synchronous slice. */
const sliceMs = 5;

/** Measures real time, never an injected clock: it is the event loop that must not be held. */
export function createPacer(): Pacer {
  let startMs = performance.now();
  return {
    pause() {
      if (performance.now() - startMs < sliceMs) return undefined;
      return new Promise((resolve) => {
        setImmediate(() => {
          startMs = performance.now();
          resolve();
        });
      });
    },
  };
}

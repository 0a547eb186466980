import { isConflict } from "@wherry/machinery";

type Reconcile = (
  key: string,
  signal: AbortSignal,
) => Promise<{ readonly requeueAfterMs: number } | void>;

/** The watch brings the newer version soon; this only makes sure that it is looked at. */
const conflictRetryMs = 50;

/** A write that lost against another one is no failure: the key comes again, without back-off and without a warning. */
export function againOnConflict(reconcile: Reconcile): Reconcile {
  return async (key, signal) => {
    try {
      return await reconcile(key, signal);
    } catch (error) {
      if (isConflict(error)) return { requeueAfterMs: conflictRetryMs };
      throw error;
    }
  };
}

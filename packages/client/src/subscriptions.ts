import type { Logger } from "@wherry/service-kit";
import type { InformerHandler } from "./informer.ts";
import type { Pacer } from "./pacer.ts";

/** The handlers of one informer. What a handler throws is reported and goes no further. */
export interface Subscriptions<T> {
  /** `present` is replayed to the handler in slices before it sees any change. */
  add(handler: InformerHandler<T>, present: readonly T[]): () => void;
  added(object: T): void;
  updated(object: T, previous: T): void;
  deleted(object: T): void;
  /** While a replay is under way: a promise for its end. No change may be delivered before. */
  replaying(): Promise<void> | undefined;
}

export interface SubscriptionsDeps {
  readonly log: Logger;
  readonly pacer: Pacer;
  /** Counts a handler that threw. */
  readonly onHandlerError: () => void;
}

export function createSubscriptions<T>({
  log,
  pacer,
  onHandlerError,
}: SubscriptionsDeps): Subscriptions<T> {
  const handlers = new Set<InformerHandler<T>>();
  const replays = new Set<Promise<void>>();

  const guarded = (call: () => void): void => {
    try {
      call();
    } catch (error) {
      onHandlerError();
      log.error({ err: error }, "informer handler failed");
    }
  };

  const replay = async (handler: InformerHandler<T>, present: readonly T[]): Promise<void> => {
    await Promise.resolve();
    for (const object of present) {
      if (!handlers.has(handler)) return;
      guarded(() => handler.onAdd?.(object));
      await pacer.pause();
    }
  };

  return {
    add(handler, present) {
      handlers.add(handler);
      if (present.length > 0) {
        const running = replay(handler, present).finally(() => replays.delete(running));
        replays.add(running);
      }
      return () => handlers.delete(handler);
    },
    added(object) {
      for (const handler of handlers) guarded(() => handler.onAdd?.(object));
    },
    updated(object, previous) {
      for (const handler of handlers) guarded(() => handler.onUpdate?.(object, previous));
    },
    deleted(object) {
      for (const handler of handlers) guarded(() => handler.onDelete?.(object));
    },
    replaying() {
      if (replays.size === 0) return undefined;
      return Promise.all(replays).then(() => {});
    },
  };
}

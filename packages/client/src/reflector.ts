import {
  formatGroupVersion,
  isExpired,
  objectKey,
  type KubeObject,
  type WatchEvent,
} from "@wherry/machinery";
import type { Clock, Logger } from "@wherry/service-kit";
import type { ApiClient, ResourceRef } from "./api-client.ts";
import { createBackoff } from "./backoff.ts";
import type { ObjectStore } from "./object-store.ts";
import type { Pacer } from "./pacer.ts";
import type { Subscriptions } from "./subscriptions.ts";

/**
 * Keeps a store equal to what the server has, by list and watch.
 * 1. The store changes first, then the handlers are called; one object after the other, in the server's order.
 * 2. A watch that ends is resumed at the last resourceVersion seen, bookmarks included.
 * 3. When that version is too old (410), a new list is compared with the store: handlers see only what differs.
 * 4. After a failure there is a pause of 0.8 s, doubled each time up to 30 s, with jitter.
 * Nothing is buffered: while handlers are behind, the connection is not read.
 */

/** Objects in one page of a list. */
const pageSize = 250;
const backoffMinMs = 800;
const backoffMaxMs = 30_000;
/** A watch that lives this long, or that brings an event, ends the back-off. */
const healthyWatchMs = 10_000;
/** The server ends each watch after 5 to 10 minutes, which spreads the load of reconnecting clients. */
const watchMinSeconds = 300;

export interface ReflectorDeps<T extends KubeObject> {
  readonly client: ApiClient;
  readonly clock: Clock;
  readonly log: Logger;
  readonly random: () => number;
  readonly pacer: Pacer;
  readonly ref: ResourceRef;
  readonly selection: Selection;
  readonly store: ObjectStore<T>;
  readonly subscriptions: Subscriptions<T>;
  readonly onSynced: () => void;
}

export interface Selection {
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  readonly metadataOnly?: boolean;
}

/** Runs until the signal aborts; never rejects. */
export async function runReflector<T extends KubeObject>(
  deps: ReflectorDeps<T>,
  signal: AbortSignal,
): Promise<void> {
  const { clock, log, random, ref } = deps;
  const backoff = createBackoff({ minMs: backoffMinMs, maxMs: backoffMaxMs, random });
  let resourceVersion: string | undefined;
  while (!signal.aborted) {
    try {
      resourceVersion ??= await relist(deps, signal);
      const startedMs = clock.monotonic();
      for await (const seen of follow(deps, resourceVersion, signal)) {
        resourceVersion = seen;
        backoff.reset();
      }
      if (clock.monotonic() - startedMs >= healthyWatchMs) {
        backoff.reset();
        continue;
      }
    } catch (error) {
      if (signal.aborted) return;
      if (isExpired(error)) {
        log.info(
          { resource: ref.resource, resourceVersion },
          "the watch is too old, listing again",
        );
        resourceVersion = undefined;
      } else {
        log.warn({ resource: ref.resource, err: error }, "list or watch failed");
      }
    }
    await clock.sleep(backoff.nextMs(), signal).catch(() => {
      // Aborted: the loop ends.
    });
  }
}

/** Brings the store to the state of a fresh list and returns the list's resourceVersion. */
async function relist<T extends KubeObject>(
  deps: ReflectorDeps<T>,
  signal: AbortSignal,
): Promise<string> {
  const { client, ref, selection, store, subscriptions, pacer } = deps;
  const type = { apiVersion: formatGroupVersion(ref), kind: ref.kind };
  const gone = new Set(store.keys());
  let token: string | undefined;
  let resourceVersion = "";
  do {
    const page = await client.list<T>(ref, {
      ...selection,
      limit: pageSize,
      ...(token === undefined ? {} : { continue: token }),
      signal,
    });
    for (const item of page.items) {
      for (
        let wait = turn(subscriptions, pacer);
        wait !== undefined;
        wait = turn(subscriptions, pacer)
      )
        await wait;
      const key = objectKey(item);
      gone.delete(key);
      apply(deps, key, { ...type, ...item });
    }
    resourceVersion = page.metadata.resourceVersion ?? "";
    token = page.metadata.continue === "" ? undefined : page.metadata.continue;
  } while (token !== undefined);
  for (const key of gone) {
    for (
      let wait = turn(subscriptions, pacer);
      wait !== undefined;
      wait = turn(subscriptions, pacer)
    )
      await wait;
    remove(deps, key, undefined);
  }
  deps.onSynced();
  return resourceVersion;
}

/** Applies the events of one watch and yields each resourceVersion once it is applied. */
async function* follow<T extends KubeObject>(
  deps: ReflectorDeps<T>,
  resourceVersion: string,
  signal: AbortSignal,
): AsyncGenerator<string, void, undefined> {
  const { client, ref, selection, subscriptions, pacer, random } = deps;
  const events = client.watch<T>(ref, {
    ...selection,
    resourceVersion,
    allowWatchBookmarks: true,
    timeoutSeconds: Math.floor(watchMinSeconds * (1 + random())),
    signal,
  });
  for await (const event of events) {
    for (
      let wait = turn(subscriptions, pacer);
      wait !== undefined;
      wait = turn(subscriptions, pacer)
    )
      await wait;
    if (signal.aborted) return;
    applyEvent(deps, event);
    const seen = event.object.metadata.resourceVersion;
    if (seen !== undefined) yield seen;
  }
}

function applyEvent<T extends KubeObject>(deps: ReflectorDeps<T>, event: WatchEvent<T>): void {
  switch (event.type) {
    case "ADDED":
    case "MODIFIED":
      apply(deps, objectKey(event.object), event.object);
      return;
    case "DELETED":
      remove(deps, objectKey(event.object), event.object);
      return;
    case "BOOKMARK":
    case "ERROR":
  }
}

function apply<T extends KubeObject>(deps: ReflectorDeps<T>, key: string, received: T): void {
  const { store, subscriptions } = deps;
  const object = deps.selection.metadataOnly === true ? metadataOf(deps.ref, received) : received;
  const previous = store.get(key);
  if (previous === undefined) {
    store.set(key, object);
    subscriptions.added(object);
    return;
  }
  const { resourceVersion, uid } = object.metadata;
  if (resourceVersion !== undefined && resourceVersion === previous.metadata.resourceVersion)
    return;
  if (uid !== previous.metadata.uid) {
    // Deleted and created again while nobody watched: two objects, not an update of one.
    remove(deps, key, undefined);
    apply(deps, key, received);
    return;
  }
  store.set(key, object);
  subscriptions.updated(object, previous);
}

/** The form in which servers send metadata has a kind of its own; here the object keeps the kind of its resource. */
function metadataOf<T extends KubeObject>(ref: ResourceRef, { metadata }: T): T {
  const { managedFields: _managedFields, ...kept } = metadata;
  return { apiVersion: formatGroupVersion(ref), kind: ref.kind, metadata: kept } as T;
}

function remove<T extends KubeObject>(
  deps: ReflectorDeps<T>,
  key: string,
  last: T | undefined,
): void {
  const { store, subscriptions } = deps;
  const previous = store.get(key);
  if (previous === undefined) return;
  store.delete(key);
  const isPartial = last !== undefined && deps.selection.metadataOnly === true;
  subscriptions.deleted(isPartial ? metadataOf(deps.ref, last) : (last ?? previous));
}

/**
 * What the next change has to wait for: the end of the slice, or a replay to a new handler. It is asked again after each wait, so that
 * nothing can come in between the last answer and the change.
 */
function turn<T>(subscriptions: Subscriptions<T>, pacer: Pacer): Promise<void> | undefined {
  return pacer.pause() ?? subscriptions.replaying();
}

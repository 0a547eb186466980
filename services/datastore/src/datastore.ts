import { mkdir, readFile } from "node:fs/promises";
import { dirname } from "node:path";
import {
  etcdErrors,
  serveStore,
  type EtcdStore,
  type StoreServer,
  type TlsMaterial,
} from "@wherry/etcd-api";
import {
  createService,
  type Clock,
  type Logger,
  type MetricsRegistry,
  type Service,
} from "@wherry/service-kit";
import { sqliteFile, type DatastoreConfig } from "./config.ts";
import { createEngineMetrics } from "./engine/engine-metrics.ts";
import { createEngine, engineDefaults, type Engine } from "./engine/engine.ts";
import type { Log } from "./log/log.ts";
import { createSqliteLog } from "./log/sqlite-log.ts";
import { startSelfCompaction, type SelfCompaction } from "./self-compaction.ts";

export interface DatastoreDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: MetricsRegistry;
}

export interface DatastoreStore extends EtcdStore {
  /** The last durable revision. */
  readonly revision: number;
}

export interface Datastore extends Service {
  /** Answers while the service runs; before and afterwards every call fails with "etcdserver: server stopped". */
  readonly store: DatastoreStore;
  /** Where clients reach the gRPC API; undefined when it does not listen. */
  endpoint(): string | undefined;
}

/** etcd's API over a log: in process as `store`, and over gRPC when the configuration says where to listen. */
export function createDatastore(config: DatastoreConfig, deps: DatastoreDeps): Datastore {
  const logger = deps.log.child({ component: "datastore" });
  let log: Log | undefined;
  let engine: Engine | undefined;
  let server: StoreServer | undefined;
  let compaction: SelfCompaction | undefined;

  const store = storeOver(() => engine);

  const service = createService({
    name: "datastore",
    async start(signal, fail) {
      const file = sqliteFile(config.endpoint);
      await mkdir(dirname(file), { recursive: true, mode: 0o700 });
      log = createSqliteLog(
        config.quotaBytes === undefined ? { file } : { file, maxBytes: config.quotaBytes },
      );
      engine = await createEngine(
        {
          ...engineDefaults,
          valueCacheBytes: config.valueCacheBytes,
          version: config.emulatedVersion,
          progressIntervalMs: config.progressIntervalMs,
        },
        {
          log,
          clock: deps.clock,
          logger,
          metrics: createEngineMetrics(deps.metrics),
          onBroken(error) {
            logger.error(
              { err: error },
              "the log failed; the datastore ends, so that nothing is answered that is not on disk",
            );
            fail(error);
          },
        },
      );
      signal.throwIfAborted();
      if (config.compactIntervalMs > 0) {
        compaction = startSelfCompaction({
          store: engine,
          clock: deps.clock,
          log: logger,
          intervalMs: config.compactIntervalMs,
        });
      }
      if (config.listen !== undefined) server = await listen(engine, config.listen);
    },
    async stop(deadline) {
      compaction?.stop();
      await server?.close(deadline);
      await engine?.stop();
      await log?.close();
    },
  });

  async function listen(running: Engine, address: string): Promise<StoreServer> {
    if (config.tls === undefined && !isLocal(address)) {
      logger.warn(
        { listen: address },
        "the datastore listens to other machines without TLS: whoever reaches it reads and writes everything",
      );
    }
    const tls = config.tls === undefined ? undefined : await readTls(config.tls);
    const options = { listen: address, log: logger, memberName: config.memberName };
    return serveStore(running, tls === undefined ? options : { ...options, tls });
  }

  return {
    name: service.name,
    done: service.done,
    start: (signal) => service.start(signal),
    stop: (deadline) => service.stop(deadline),
    health: () => service.health(),
    store,
    endpoint: () => server?.endpoint,
  };
}

function isLocal(address: string): boolean {
  return /^(unix:|127\.|localhost:|\[::1\]:)/.test(address);
}

async function readTls(files: NonNullable<DatastoreConfig["tls"]>): Promise<TlsMaterial> {
  const read = async (file: string, field: string): Promise<Buffer> => {
    try {
      return await readFile(file);
    } catch (cause) {
      throw new Error(
        `tls.${field}: ${file} cannot be read (${(cause as NodeJS.ErrnoException).code})`,
        { cause },
      );
    }
  };
  const [cert, key] = await Promise.all([
    read(files.certFile, "certFile"),
    read(files.keyFile, "keyFile"),
  ]);
  if (files.clientCaFile === undefined) return { cert, key };
  return { cert, key, ca: await read(files.clientCaFile, "clientCaFile") };
}

/** A store that exists before its engine does, so that dependants can be built first. */
function storeOver(current: () => Engine | undefined): DatastoreStore {
  const engine = (): Engine => {
    const running = current();
    if (running === undefined) throw etcdErrors.stopped();
    return running;
  };
  return {
    range: async (request, options) => engine().range(request, options),
    put: async (request, options) => engine().put(request, options),
    deleteRange: async (request, options) => engine().deleteRange(request, options),
    txn: async (request, options) => engine().txn(request, options),
    compact: async (request, options) => engine().compact(request, options),
    leaseGrant: async (request, options) => engine().leaseGrant(request, options),
    leaseRevoke: async (id, options) => engine().leaseRevoke(id, options),
    leaseKeepAlive: async (id, options) => engine().leaseKeepAlive(id, options),
    leaseTimeToLive: async (id, withKeys, options) =>
      engine().leaseTimeToLive(id, withKeys, options),
    leases: async (options) => engine().leases(options),
    status: async (options) => engine().status(options),
    watch: (request, options) => engine().watch(request, options),
    get revision() {
      return engine().revision;
    },
  };
}

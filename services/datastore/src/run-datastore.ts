import {
  createMetrics,
  parseConfig,
  runServices,
  systemClock,
  UsageError,
  type FlagDefinition,
  type FlagValues,
  type Logger,
} from "@wherry/service-kit";
import { datastoreConfig, type DatastoreConfig } from "./config.ts";
import { createDatastore } from "./datastore.ts";

/** Flags of the stand-alone datastore. Where kine or etcd have one for the same thing, it has their name. */
export const datastoreFlags: readonly FlagDefinition[] = [
  {
    name: "endpoint",
    kind: "string",
    env: ["WHERRY_DATASTORE_ENDPOINT", "K3S_DATASTORE_ENDPOINT"],
    help: "Where the data lies: sqlite://FILE. Required.",
  },
  {
    name: "listen",
    kind: "string",
    defaultText: "127.0.0.1:2379",
    help: "Address for clients: HOST:PORT or unix:PATH.",
  },
  {
    name: "server-cert-file",
    kind: "string",
    help: "PEM file of the server's certificate; switches TLS on.",
  },
  { name: "server-key-file", kind: "string", help: "PEM file of the certificate's key." },
  {
    name: "trusted-ca-file",
    kind: "string",
    help: "PEM file of authorities; clients must show a certificate of theirs.",
  },
  { name: "value-cache-mb", kind: "integer", defaultText: "32", help: "Values kept in memory." },
  { name: "quota-backend-bytes", kind: "integer", help: "Largest size of the data." },
  {
    name: "compact-interval",
    kind: "string",
    defaultText: "0",
    help: "Compact by itself, keeping this much history (5m); 0 = when clients ask.",
  },
  {
    name: "emulated-etcd-version",
    kind: "string",
    defaultText: "3.6.11",
    help: "The etcd version that clients see.",
  },
];

const DEFAULT_LISTEN = "127.0.0.1:2379";
const MIB = 1024 * 1024;

/** Time for requests under way when the datastore is asked to stop. */
const STOP_TIMEOUT_MS = 10_000;

/** Throws UsageError naming the flag that is wrong or missing. */
export function datastoreConfigOf(values: FlagValues): DatastoreConfig {
  if (values["endpoint"] === undefined)
    throw new UsageError("--endpoint is required: where the data lies, sqlite://FILE");
  const { certFile, keyFile, clientCaFile } = {
    certFile: values["server-cert-file"],
    keyFile: values["server-key-file"],
    clientCaFile: values["trusted-ca-file"],
  };
  if ((certFile === undefined) !== (keyFile === undefined))
    throw new UsageError("--server-cert-file and --server-key-file belong together; set both");
  if (clientCaFile !== undefined && certFile === undefined)
    throw new UsageError("--trusted-ca-file needs --server-cert-file and --server-key-file");
  const cacheMb = values["value-cache-mb"];
  const interval = values["compact-interval"];
  const given = {
    endpoint: values["endpoint"],
    listen: values["listen"] ?? DEFAULT_LISTEN,
    tls: certFile === undefined ? undefined : withoutUndefined({ certFile, keyFile, clientCaFile }),
    valueCacheBytes: typeof cacheMb === "number" ? cacheMb * MIB : undefined,
    quotaBytes: values["quota-backend-bytes"],
    compactIntervalMs:
      typeof interval === "string" ? parseDuration(interval, "--compact-interval") : undefined,
    emulatedVersion: values["emulated-etcd-version"],
  };
  return parseConfig(datastoreConfig, withoutUndefined(given));
}

export interface RunDatastoreOptions {
  readonly signal: AbortSignal;
  readonly log: Logger;
  /** Called with the address once clients may connect. */
  readonly onReady?: (endpoint: string | undefined) => void;
}

/** Runs a datastore alone until the signal aborts; rejects when it ends by itself. */
export async function runDatastore(
  config: DatastoreConfig,
  options: RunDatastoreOptions,
): Promise<void> {
  const { signal, log, onReady } = options;
  const datastore = createDatastore(config, {
    clock: systemClock,
    log,
    metrics: await createMetrics(),
  });
  await runServices([{ service: datastore }], {
    signal,
    stopTimeoutMs: STOP_TIMEOUT_MS,
    log,
    onReady: () => onReady?.(datastore.endpoint()),
  });
}

const unitMs = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 } as const;

/** "5m", "1h30m", "250ms"; "0" needs no unit. */
function parseDuration(text: string, flag: string): number {
  if (text === "0") return 0;
  if (!/^(\d+(ms|s|m|h))+$/.test(text))
    throw new UsageError(`${flag} must be a duration such as 5m or 30s, not "${text}"`);
  let total = 0;
  for (const [, count, unit] of text.matchAll(/(\d+)(ms|s|m|h)/g))
    total += Number(count) * unitMs[unit as keyof typeof unitMs];
  return total;
}

function withoutUndefined(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

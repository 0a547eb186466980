import { readFile } from "node:fs/promises";
import { createGrpcStore } from "@wherry/etcd-api";
import { createConnectDialer, type NodeDialer } from "@wherry/net";
import {
  createLogger,
  createMetrics,
  createService,
  parseConfig,
  runServices,
  systemClock,
  UsageError,
  type FlagValues,
  type LogFormat,
  type Logger,
  type LogLevel,
} from "@wherry/service-kit";
import { createApiserver } from "./apiserver.ts";
import { parseTokenFile } from "./auth/static-tokens.ts";
import { apiserverConfig, type ApiserverConfig } from "./config.ts";

/** What a stand-alone API server needs beside its configuration. */
export interface ApiserverRun {
  readonly config: ApiserverConfig;
  readonly store: {
    readonly endpoint: string;
    readonly tls?: { readonly ca?: string; readonly cert?: string; readonly key?: string };
  };
  readonly egress?: {
    readonly proxyUrl: string;
    readonly tls: { readonly caPem: string; readonly certPem: string; readonly keyPem: string };
  };
  readonly log: { readonly level: LogLevel; readonly format: LogFormat };
}

export interface RunApiserverOptions {
  readonly signal: AbortSignal;
  readonly log: Logger;
  /** Called with the URL once clients may connect. */
  readonly onReady?: (url: string) => void;
}

/** Time for requests under way when the server is asked to stop. */
const stopTimeoutMs = 30_000;

/** Reads the files that flags name. Throws UsageError naming the flag that is wrong or missing. */
export async function apiserverRunOf(values: FlagValues): Promise<ApiserverRun> {
  const text = (flag: string): string | undefined => values[flag] as string | undefined;
  const list = (flag: string): readonly string[] | undefined =>
    values[flag] as readonly string[] | undefined;
  const file = async (flag: string): Promise<string | undefined> => {
    const path = text(flag);
    return path === undefined ? undefined : readText(flag, path);
  };
  const required = async (flag: string, why: string): Promise<string> => {
    const content = await file(flag);
    if (content === undefined) throw new UsageError(`--${flag} is required: ${why}`);
    return content;
  };

  const servers = list("etcd-servers") ?? [];
  if (servers.length !== 1) {
    throw new UsageError(
      servers.length === 0
        ? "--etcd-servers is required: the address of the datastore, for example http://127.0.0.1:2379"
        : "--etcd-servers: give one address; put a proxy in front of several",
    );
  }
  const modes = list("authorization-mode") ?? ["Node", "RBAC"];
  if ([...modes].sort().join() !== "Node,RBAC")
    throw new UsageError(
      `--authorization-mode: only Node,RBAC is served, not "${modes.join(",")}"`,
    );

  const [certPem, keyPem] = [
    await required("tls-cert-file", "the serving certificate"),
    await required("tls-private-key-file", "the serving certificate's key"),
  ];
  const tokens = text("token-auth-file");
  const issuers = list("service-account-issuer");
  const signingKeyPem = await file("service-account-signing-key-file");
  if ((issuers === undefined) !== (signingKeyPem === undefined))
    throw new UsageError(
      "--service-account-issuer and --service-account-signing-key-file belong together; set both",
    );
  const keysPem = await Promise.all(
    (list("service-account-key-file") ?? []).map((path) =>
      readText("service-account-key-file", path),
    ),
  );
  const requestHeaderCa = await file("requestheader-client-ca-file");
  const maxToken = text("service-account-max-token-expiration");

  const config = parseConfig(
    apiserverConfig,
    defined({
      listen: defined({ host: text("bind-address"), port: values["secure-port"], certPem, keyPem }),
      clientCaPem: await file("client-ca-file"),
      requestHeader:
        requestHeaderCa === undefined
          ? undefined
          : defined({
              caPem: requestHeaderCa,
              allowedNames: list("requestheader-allowed-names"),
              usernameHeaders: list("requestheader-username-headers"),
              uidHeaders: list("requestheader-uid-headers"),
              groupHeaders: list("requestheader-group-headers"),
              extraHeaderPrefixes: list("requestheader-extra-headers-prefix"),
            }),
      staticTokens:
        tokens === undefined
          ? undefined
          : parseTokenFile(await readText("token-auth-file", tokens), tokens),
      serviceAccount:
        issuers === undefined || signingKeyPem === undefined
          ? undefined
          : defined({
              issuers,
              signingKeyPem,
              keysPem,
              apiAudiences: list("api-audiences"),
              jwksUri: text("service-account-jwks-uri"),
              maxTokenSeconds:
                maxToken === undefined
                  ? undefined
                  : Math.floor(durationMs("service-account-max-token-expiration", maxToken) / 1000),
            }),
      anonymous: values["anonymous-auth"],
      bootstrapTokens: values["enable-bootstrap-token-auth"] ?? false,
      serviceCidrs: list("service-cluster-ip-range"),
      nodePorts: portRange(text("service-node-port-range")),
      advertiseAddress: text("advertise-address"),
      readsInflightMax: values["max-requests-inflight"],
      writesInflightMax: values["max-mutating-requests-inflight"],
      compactionIntervalMs: optionalMs(
        "etcd-compaction-interval",
        text("etcd-compaction-interval"),
      ),
      eventTtlSeconds: seconds("event-ttl", text("event-ttl")),
      shutdownDelayMs: optionalMs("shutdown-delay-duration", text("shutdown-delay-duration")),
    }),
  );
  const tls = defined({
    ca: await file("etcd-cafile"),
    cert: await file("etcd-certfile"),
    key: await file("etcd-keyfile"),
  });
  const proxyUrl = text("egress-proxy-url");
  const egress =
    proxyUrl === undefined
      ? undefined
      : {
          proxyUrl,
          tls: {
            caPem: await required("kubelet-certificate-authority", "--egress-proxy-url needs it"),
            certPem: await required("kubelet-client-certificate", "--egress-proxy-url needs it"),
            keyPem: await required("kubelet-client-key", "--egress-proxy-url needs it"),
          },
        };
  return {
    config,
    store: { endpoint: servers[0]!, ...(Object.keys(tls).length === 0 ? {} : { tls }) },
    ...(egress === undefined ? {} : { egress }),
    log: {
      level: choice("log-level", text("log-level") ?? "info", ["debug", "info", "warn", "error"]),
      format: choice("log-format", text("log-format") ?? "text", ["text", "json"]),
    },
  };
}

/** Runs an API server alone until the signal aborts; rejects when it ends by itself. */
export async function runApiserver(run: ApiserverRun, options: RunApiserverOptions): Promise<void> {
  const { signal, log, onReady } = options;
  const store = createGrpcStore({
    endpoint: run.store.endpoint,
    ...(run.store.tls === undefined ? {} : { tls: run.store.tls }),
    log,
  });
  const dialer: NodeDialer | undefined =
    run.egress === undefined ? undefined : createConnectDialer(run.egress);
  const apiserver = createApiserver(run.config, {
    store,
    clock: systemClock,
    log,
    metrics: await createMetrics(),
    ...(dialer === undefined ? {} : { dialer }),
  });
  const connection = createService({
    name: "datastore connection",
    start: async () => {},
    stop: () => store.close(),
  });
  await runServices([{ service: connection }, { service: apiserver, after: [connection] }], {
    signal,
    stopTimeoutMs,
    log,
    onReady: () => onReady?.(apiserver.endpoint()?.url ?? ""),
  });
}

export function createRunLogger({ log }: ApiserverRun): Promise<Logger> {
  return createLogger(log);
}

async function readText(flag: string, path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    throw new UsageError(
      `--${flag}: ${path} cannot be read (${(error as NodeJS.ErrnoException).code ?? "unknown"})`,
      { cause: error },
    );
  }
}

const unitMs = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 } as const;

/** "5m0s", "1h30m", "250ms"; "0" needs no unit. */
function durationMs(flag: string, text: string): number {
  if (text === "0") return 0;
  if (!/^(\d+(ms|s|m|h))+$/.test(text))
    throw new UsageError(`--${flag} must be a duration such as 5m0s, not "${text}"`);
  let total = 0;
  for (const [, count, unit] of text.matchAll(/(\d+)(ms|s|m|h)/g))
    total += Number(count) * unitMs[unit as keyof typeof unitMs];
  return total;
}

function optionalMs(flag: string, text: string | undefined): number | undefined {
  return text === undefined ? undefined : durationMs(flag, text);
}

function seconds(flag: string, text: string | undefined): number | undefined {
  return text === undefined ? undefined : Math.floor(durationMs(flag, text) / 1000);
}

function portRange(text: string | undefined): { first: number; last: number } | undefined {
  if (text === undefined) return undefined;
  const match = /^(\d+)-(\d+)$/.exec(text);
  if (match === null)
    throw new UsageError(`--service-node-port-range must be FIRST-LAST, not "${text}"`);
  return { first: Number(match[1]), last: Number(match[2]) };
}

function choice<T extends string>(flag: string, value: string, allowed: readonly T[]): T {
  const found = allowed.find((one) => one === value);
  if (found === undefined)
    throw new UsageError(`--${flag} must be one of ${allowed.join(", ")}, not "${value}"`);
  return found;
}

function defined<T extends Readonly<Record<string, unknown>>>(
  fields: T,
): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}

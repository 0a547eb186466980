/** A whole API server over an in-memory store, for tests of this package. */
import { generateKeyPairSync } from "node:crypto";
import { createMemoryStore } from "@wherry/datastore/testing";
import type { ApiTransport } from "@wherry/client";
import type { EtcdStore } from "@wherry/etcd-api";
import type { NodeDialer } from "@wherry/net";
import {
  createNullMetrics,
  parseConfig,
  silentLogger,
  systemClock,
  type Clock,
  type MetricsRegistry,
} from "@wherry/service-kit";
import { createApiserver, type Apiserver } from "../apiserver.ts";
import { apiserverConfig } from "../config.ts";

export const adminToken = "admin-token";

export interface FixtureOptions {
  /** Merged into the configuration; by default there is no listener. */
  readonly config?: Readonly<Record<string, unknown>>;
  readonly clock?: Clock;
  readonly metrics?: MetricsRegistry;
  /** Another server's store, to start a second one over it. It is not stopped by `close`. */
  readonly store?: EtcdStore;
  /** How kubelets are reached; absent = they are not. */
  readonly dialer?: NodeDialer;
}

export interface Fixture {
  readonly server: Apiserver;
  readonly store: EtcdStore;
  /** As a member of system:masters. */
  readonly admin: ApiTransport;
  close(): Promise<void>;
}

const signingKeyPem = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({
  type: "pkcs8",
  format: "pem",
});

export async function startFixture(options: FixtureOptions = {}): Promise<Fixture> {
  const own = options.store === undefined ? createMemoryStore() : undefined;
  const store = options.store ?? own!;
  const config = parseConfig(apiserverConfig, {
    advertiseAddress: "192.0.2.1",
    staticTokens: [
      { token: adminToken, user: { name: "admin", uid: "1", groups: ["system:masters"] } },
    ],
    serviceAccount: { issuers: ["https://x"], signingKeyPem },
    ...options.config,
  });
  const server = createApiserver(config, {
    store,
    clock: options.clock ?? systemClock,
    log: silentLogger,
    metrics: options.metrics ?? createNullMetrics(),
    ...(options.dialer === undefined ? {} : { dialer: options.dialer }),
  });
  await server.start(new AbortController().signal);
  return {
    server,
    store,
    admin: server.transport({ name: "admin", groups: ["system:masters"] }),
    async close() {
      await server.stop(AbortSignal.timeout(5_000));
      await own?.stop();
    },
  };
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly text: string;
  // oxlint-disable-next-line typescript/no-explicit-any -- tests look into answers of every shape.
  readonly json: any;
}

/** One request and its whole answer. */
export async function ask(
  transport: ApiTransport,
  method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE",
  path: string,
  body?: unknown,
  headers: Readonly<Record<string, string>> = {},
): Promise<Answer> {
  const response = await transport.roundTrip({
    method,
    path,
    headers: { ...(body === undefined ? {} : { "content-type": "application/json" }), ...headers },
    ...(body === undefined
      ? {}
      : { body: Buffer.from(typeof body === "string" ? body : JSON.stringify(body)) }),
  });
  const chunks: Uint8Array[] = [];
  for await (const chunk of response.body) chunks.push(chunk);
  const text = Buffer.concat(chunks).toString();
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    json = undefined;
  }
  return { status: response.status, headers: response.headers, text, json };
}

export function configMap(
  name: string,
  data: Record<string, string> = {},
  labels?: Record<string, string>,
): object {
  return {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name, ...(labels === undefined ? {} : { labels }) },
    data,
  };
}

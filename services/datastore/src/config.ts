import { z } from "zod";
import { engineDefaults } from "./engine/engine.ts";

const MIB = 1024 * 1024;

const tlsFiles = z.strictObject({
  /** PEM file of the server's certificate. */
  certFile: z.string().min(1),
  /** PEM file of its key. */
  keyFile: z.string().min(1),
  /** PEM file of the authorities whose clients are let in. Absent: clients need no certificate. */
  clientCaFile: z.string().min(1).optional(),
});

/** What a datastore must know before it starts. */
export const datastoreConfig = z
  .strictObject({
    /** Where the data lies: `sqlite://FILE`. */
    endpoint: z.string().superRefine((endpoint, context) => {
      const problem = endpointProblem(endpoint);
      if (problem !== undefined) context.addIssue({ code: "custom", message: problem });
    }),
    /** `HOST:PORT` or `unix:PATH` for clients of the gRPC API. Absent: the store is used in process only. */
    listen: z.string().min(1).optional(),
    tls: tlsFiles.optional(),
    /** Values kept in memory; others are read back from the log. */
    valueCacheBytes: z.number().int().min(0).default(engineDefaults.valueCacheBytes),
    /** Writes that would make the data larger fail with "database space exceeded". Absent: the disk is the limit. */
    quotaBytes: z.number().int().min(MIB).optional(),
    /** History older than this is compacted by the datastore itself; 0 = only when a client (kube-apiserver) asks for it. */
    compactIntervalMs: z.number().int().min(0).default(0),
    /** The etcd version that clients see. kube-apiserver derives features from it. */
    emulatedVersion: z
      .string()
      .regex(/^\d+\.\d+\.\d+$/, "must be MAJOR.MINOR.PATCH")
      .default(engineDefaults.version),
    /** How often a quiet watch that asked for it hears of the store's revision. */
    progressIntervalMs: z.number().int().min(100).default(engineDefaults.progressIntervalMs),
    memberName: z.string().min(1).default("wherry"),
  })
  .refine((config) => config.tls === undefined || config.listen !== undefined, {
    path: ["tls"],
    message: "certificates are of no use without a listen address; set listen too",
  });

export type DatastoreConfig = z.output<typeof datastoreConfig>;
export type DatastoreConfigInput = z.input<typeof datastoreConfig>;

/** The file of `sqlite://FILE`. The endpoint has passed `datastoreConfig`. */
export function sqliteFile(endpoint: string): string {
  return endpoint.slice("sqlite://".length);
}

function endpointProblem(endpoint: string): string | undefined {
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//.exec(endpoint)?.[1];
  if (scheme !== "sqlite")
    return `${describeScheme(endpoint, scheme)} is not supported; supported is sqlite://FILE`;
  const file = sqliteFile(endpoint);
  if (file === "") return "sqlite:// names no file; write sqlite://FILE";
  if (file.includes("?"))
    return "parameters behind the file are not supported; write sqlite://FILE";
  return undefined;
}

/** Endpoints hold passwords; only the scheme is repeated. */
function describeScheme(endpoint: string, scheme: string | undefined): string {
  if (scheme !== undefined) return `${scheme}://`;
  return endpoint.includes("@") ? "an endpoint without a scheme" : `"${endpoint}"`;
}

import { z } from "zod";

const pem = z.string().includes("-----BEGIN ", { message: "must be PEM text" });
const cidr = z.string().regex(/^[0-9a-fA-F.:]+\/\d{1,3}$/, "must be a CIDR such as 10.43.0.0/16");

/** What an API server must know before it starts. Certificates and keys are PEM text: the launcher passes them in memory, `main.ts` reads them from files. */
export const apiserverConfig = z.strictObject({
  /** Absent: no listener of its own, only `handler` and `transport` are used. Without a certificate the listener speaks plain HTTP. */
  listen: z
    .strictObject({
      host: z.string().min(1).default("0.0.0.0"),
      /** 0 = any free port. */
      port: z.number().int().min(0).max(65_535).default(6443),
      certPem: pem.optional(),
      keyPem: pem.optional(),
    })
    .refine(
      (listen) => (listen.certPem === undefined) === (listen.keyPem === undefined),
      "certPem and keyPem belong together",
    )
    .optional(),
  /** Who may sign client certificates. Absent = client certificates are not accepted. */
  clientCaPem: pem.optional(),
  /** A front proxy that speaks for others in headers. */
  requestHeader: z
    .strictObject({
      caPem: pem,
      /** Common names that the proxy's certificate may have; empty = any. */
      allowedNames: z.array(z.string()).default([]),
      usernameHeaders: z.array(z.string()).default(["X-Remote-User"]),
      uidHeaders: z.array(z.string()).default(["X-Remote-Uid"]),
      groupHeaders: z.array(z.string()).default(["X-Remote-Group"]),
      extraHeaderPrefixes: z.array(z.string()).default(["X-Remote-Extra-"]),
    })
    .optional(),
  /** Bearer tokens known from the start. */
  staticTokens: z
    .array(
      z.strictObject({
        token: z.string().min(1),
        user: z.strictObject({
          name: z.string().min(1),
          uid: z.string().optional(),
          groups: z.array(z.string()).default([]),
        }),
      }),
    )
    .default([]),
  /** Absent: no service-account tokens are issued or accepted. */
  serviceAccount: z
    .strictObject({
      /** The first one is written into new tokens, all are accepted. */
      issuers: z.array(z.string().min(1)).min(1),
      signingKeyPem: pem,
      /** Further keys whose tokens are accepted (rotation). */
      keysPem: z.array(pem).default([]),
      /** Audiences of tokens without a narrower one; empty = the first issuer. */
      apiAudiences: z.array(z.string()).default([]),
      maxTokenSeconds: z.number().int().min(3600).max(4_294_967_296).optional(),
      jwksUri: z.string().optional(),
    })
    .optional(),
  /** Whether a request without credentials is `system:anonymous` (which sees health and version only) or refused. */
  anonymous: z.boolean().default(true),
  /** Accept the tokens of Secrets of type bootstrap.kubernetes.io/token. */
  bootstrapTokens: z.boolean().default(true),
  /** Create the namespaces, roles, priority classes and the service `kubernetes` that every cluster has. */
  bootstrap: z.boolean().default(true),
  /** One range per address family, the default family first. */
  serviceCidrs: z.array(cidr).min(1).max(2).default(["10.43.0.0/16"]),
  nodePorts: z
    .strictObject({
      first: z.number().int().min(1).max(65_535),
      last: z.number().int().min(1).max(65_535),
    })
    .default({ first: 30_000, last: 32_767 }),
  /** Where pods and other machines reach this server: the endpoint of the service `kubernetes`. Absent = the first address of this machine that is not loopback. */
  advertiseAddress: z.string().min(1).optional(),
  /** Absent = the port of the listener, or 6443. */
  advertisePort: z.number().int().min(1).max(65_535).optional(),
  /** Reads and writes that are worked on at once; more get 429. */
  readsInflightMax: z.number().int().positive().default(400),
  writesInflightMax: z.number().int().positive().default(200),
  /** Events kept per resource for watches that begin at a recent revision; older ones are read from the store. */
  watchWindowEvents: z.number().int().min(16).default(1024),
  /** History is trimmed to one interval; 0 = never by this server. */
  compactionIntervalMs: z.number().int().min(0).default(300_000),
  eventTtlSeconds: z.number().int().positive().default(3_600),
  /** Time between /readyz turning red and the first refused request. */
  shutdownDelayMs: z.number().int().min(0).default(0),
  /** Reported by /version. */
  kubernetesVersion: z
    .string()
    .regex(/^v\d+\.\d+\.\d+/)
    .default("v1.36.2+wherry1"),
});

export type ApiserverConfig = z.output<typeof apiserverConfig>;

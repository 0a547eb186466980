export { apiserverFlags } from "./apiserver-flags.ts";
export { createApiserver } from "./apiserver.ts";
export type { Apiserver, ApiserverDeps } from "./apiserver.ts";
export type { AuditEvent, AuditSink } from "./audit.ts";
export { apiserverConfig } from "./config.ts";
export type { ApiserverConfig } from "./config.ts";
export { apiserverRunOf, createRunLogger, runApiserver } from "./run-apiserver.ts";
export type { ApiserverRun, RunApiserverOptions } from "./run-apiserver.ts";

export { datastoreConfig } from "./config.ts";
export type { DatastoreConfig, DatastoreConfigInput } from "./config.ts";
export { createDatastore } from "./datastore.ts";
export type { Datastore, DatastoreDeps, DatastoreStore } from "./datastore.ts";
export { LogError } from "./log/log.ts";
export type { LogErrorCode } from "./log/log.ts";
export { datastoreConfigOf, datastoreFlags, runDatastore } from "./run-datastore.ts";
export type { RunDatastoreOptions } from "./run-datastore.ts";

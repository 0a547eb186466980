export { systemClock } from "./clock.ts";
export type { Clock, Timer } from "./clock.ts";
export { readConfigArgs } from "./config-file.ts";
export type { ConfigFileOptions } from "./config-file.ts";
export { createService } from "./create-service.ts";
export type { ServiceParts } from "./create-service.ts";
export { createDeferred } from "./deferred.ts";
export type { Deferred } from "./deferred.ts";
export { createEventLoopMonitor } from "./event-loop.ts";
export type { EventLoopMonitor } from "./event-loop.ts";
export { describeFlags, resolveFlags, UsageError } from "./flags.ts";
export type { FlagDefinition, FlagSources, FlagValue, FlagValues, ParsedFlags } from "./flags.ts";
export type { HttpHandler, HttpRequest, HttpResponse } from "./http.ts";
export { invariant, InvariantError } from "./invariant.ts";
export { createLogger, silentLogger } from "./logger.ts";
export type { LogFormat, Logger, LoggerConfig, LogLevel } from "./logger.ts";
export type {
  Counter,
  Gauge,
  Histogram,
  InstrumentOptions,
  Labels,
  MetricsRegistry,
} from "./metrics.ts";
export { parseConfig } from "./parse-config.ts";
export { exitCode, runMain } from "./process.ts";
export type { ProcessContext } from "./process.ts";
export { processStartTime } from "./process-start-time.ts";
export { createMetrics, createNullMetrics } from "./prometheus.ts";
export { runServices } from "./run-services.ts";
export type { RunServicesOptions } from "./run-services.ts";
export { workerFile } from "./worker-file.ts";
export type { Health, Service, ServiceNode } from "./service.ts";

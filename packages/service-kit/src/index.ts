export type { Clock, Timer } from "./clock.ts";
export type { HttpHandler, HttpRequest, HttpResponse } from "./http.ts";
export type { Logger } from "./logger.ts";
export type { Counter, Gauge, Histogram, InstrumentOptions, Labels, MetricsRegistry } from "./metrics.ts";
export type { Health, Service, ServiceNode } from "./service.ts";

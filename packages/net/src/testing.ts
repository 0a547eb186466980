export { missingForNamespaces, openNamespace } from "./testing/network-namespace.ts";
export type { NetworkNamespace } from "./testing/network-namespace.ts";
export { openProbe } from "./testing/network-probe.ts";
export type { NetworkProbe, ProbeTarget } from "./testing/network-probe.ts";
export { createRecordingRunner } from "./testing/recording-runner.ts";
export type { RecordedCommand, RecordingRunner } from "./testing/recording-runner.ts";

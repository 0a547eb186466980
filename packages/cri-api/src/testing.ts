export {
  TEST_IMAGE,
  containerdUnavailable,
  startTestContainerd,
} from "./testing/containerd-process.ts";
export type { TestContainerd } from "./testing/containerd-process.ts";
export { buildBusyboxImage, findStaticBusybox, hostArchitecture } from "./testing/busybox.ts";
export { runRuntimeContract } from "./testing/runtime-contract.ts";
export type { RuntimeContractOptions, RuntimeUnderTest } from "./testing/runtime-contract.ts";

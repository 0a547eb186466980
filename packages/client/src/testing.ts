export { createMemoryApi } from "./testing/memory-api.ts";
export type { MemoryApi, MemoryApiOptions } from "./testing/memory-api.ts";
export { createSeededRandom } from "./testing/seeded-random.ts";
export { runTransportContract } from "./testing/transport-contract.ts";
export type { ContractTransport } from "./testing/transport-contract.ts";

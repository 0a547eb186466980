import { createSimulatedRuntime } from "./runtime.ts";
import { runRuntimeContract } from "../testing/runtime-contract.ts";

runRuntimeContract("simulated", async () => {
  const runtime = createSimulatedRuntime();
  return { runtime, image: "busybox:1", stop: async () => runtime.close() };
});

import {
  TEST_IMAGE,
  containerdUnavailable,
  startTestContainerd,
} from "../testing/containerd-process.ts";
import { runRuntimeContract } from "../testing/runtime-contract.ts";

runRuntimeContract(
  "containerd",
  async () => {
    const { runtime, stop } = await startTestContainerd();
    return { runtime, image: TEST_IMAGE, stop };
  },
  { skip: containerdUnavailable() },
);

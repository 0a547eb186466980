import { createLogger, describeFlags, resolveFlags, runMain } from "@wherry/service-kit";
import { nodeAgentFlags, nodeAgentRunOf, runNodeAgent } from "./run-node-agent.ts";

runMain(async ({ args, env, signal, stderr, stdout }) => {
  if (args.includes("--help"))
    return stdout(
      `Usage: wherry node-agent --kubeconfig FILE [flags]\n\n${describeFlags(nodeAgentFlags)}\n`,
    );
  const run = nodeAgentRunOf(resolveFlags(nodeAgentFlags, { args, env }).values);
  const log = await createLogger({ level: "info", format: "text" });
  await runNodeAgent(run, {
    signal,
    log,
    onReady: () => stderr("wherry node-agent is up and running\n"),
  });
});

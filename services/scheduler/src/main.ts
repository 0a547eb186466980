import { createLogger, describeFlags, resolveFlags, runMain } from "@wherry/service-kit";
import { runScheduler, schedulerFlags, schedulerRunOf } from "./run-scheduler.ts";

runMain(async ({ args, env, signal, stderr, stdout }) => {
  if (args.includes("--help"))
    return stdout(
      `Usage: wherry scheduler --kubeconfig FILE [flags]\n\n${describeFlags(schedulerFlags)}\n`,
    );
  const run = schedulerRunOf(resolveFlags(schedulerFlags, { args, env }).values);
  const log = await createLogger({ level: "info", format: "text" });
  await runScheduler(run, {
    signal,
    log,
    onReady: () => stderr("wherry scheduler is up and running\n"),
  });
});

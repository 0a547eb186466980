import { createLogger, describeFlags, resolveFlags, runMain } from "@wherry/service-kit";
import {
  controllerManagerFlags,
  controllerManagerRunOf,
  runControllerManager,
} from "./run-controller-manager.ts";

runMain(async ({ args, env, signal, stderr, stdout }) => {
  if (args.includes("--help"))
    return stdout(
      `Usage: wherry controller-manager --kubeconfig FILE [flags]\n\n${describeFlags(controllerManagerFlags)}\n`,
    );
  const run = controllerManagerRunOf(resolveFlags(controllerManagerFlags, { args, env }).values);
  const log = await createLogger({ level: "info", format: "text" });
  await runControllerManager(run, {
    signal,
    log,
    onReady: () => stderr("wherry controller-manager is up and running\n"),
  });
});

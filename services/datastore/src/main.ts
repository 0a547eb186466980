import { createLogger, describeFlags, resolveFlags, runMain } from "@wherry/service-kit";
import { datastoreConfigOf, datastoreFlags, runDatastore } from "./run-datastore.ts";

runMain(async ({ args, env, signal, stderr, stdout }) => {
  if (args.includes("--help"))
    return stdout(
      `Usage: wherry datastore --endpoint sqlite://FILE [flags]\n\n${describeFlags(datastoreFlags)}\n`,
    );
  const config = datastoreConfigOf(resolveFlags(datastoreFlags, { args, env }).values);
  const log = await createLogger({ level: "info", format: "text" });
  await runDatastore(config, {
    signal,
    log,
    onReady: (endpoint) => stderr(`wherry datastore is up and running on ${endpoint}\n`),
  });
});

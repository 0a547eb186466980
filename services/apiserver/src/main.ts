import { describeFlags, resolveFlags, runMain } from "@wherry/service-kit";
import { apiserverFlags } from "./apiserver-flags.ts";
import { apiserverRunOf, createRunLogger, runApiserver } from "./run-apiserver.ts";

runMain(async ({ args, env, signal, stderr, stdout }) => {
  if (args.includes("--help")) {
    return stdout(
      `Usage: wherry apiserver --etcd-servers URL --tls-cert-file FILE --tls-private-key-file FILE [flags]\n\n${describeFlags(apiserverFlags)}\n`,
    );
  }
  const run = await apiserverRunOf(resolveFlags(apiserverFlags, { args, env }).values);
  const log = await createRunLogger(run);
  await runApiserver(run, {
    signal,
    log,
    onReady: (url) => stderr(`wherry apiserver is up and running on ${url}\n`),
  });
});

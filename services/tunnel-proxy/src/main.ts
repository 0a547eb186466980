import { createLogger, describeFlags, resolveFlags, runMain } from "@wherry/service-kit";
import { runTunnelProxy, tunnelProxyFlags } from "./run-tunnel-proxy.ts";

runMain(async ({ args, env, signal, stderr, stdout }) => {
  if (args.includes("--help"))
    return stdout(
      `Usage: wherry tunnel-proxy --apiserver URL --tls-dir DIR [flags]\n\n${describeFlags(tunnelProxyFlags)}\n`,
    );
  const { values } = resolveFlags(tunnelProxyFlags, { args, env });
  const log = await createLogger({ level: "info", format: "text" });
  await runTunnelProxy(values, {
    signal,
    log,
    onReady: () => stderr("wherry tunnel-proxy is up and running\n"),
  });
});

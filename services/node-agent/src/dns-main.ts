/**
 * The DNS process. `dns-main --socket FILE --state FILE [--program ID]`; with `--warm` it loads its modules and ends, which fills the compile cache
 * that NODE_COMPILE_CACHE names. It has nobody to talk to but the agent on the socket, ends on SIGTERM, and ignores that its parent goes.
 */
import { parseArgs } from "node:util";
import { startDnsProgram } from "./network/dns/dns-program.ts";

const { values } = parseArgs({
  options: {
    socket: { type: "string" },
    state: { type: "string" },
    program: { type: "string", default: "" },
    warm: { type: "boolean", default: false },
  },
});

if (!values.warm) {
  if (values.socket === undefined || values.state === undefined) {
    process.stderr.write(
      "error: --socket and --state are needed; the node agent starts this program\n",
    );
    process.exit(2);
  }
  const program = await startDnsProgram({
    socket: values.socket,
    stateFile: values.state,
    program: values.program,
    pid: process.pid,
    onShutdown: () => end(),
  });
  const end = (): void => void program.close().then(() => process.exit(0));
  process.on("SIGTERM", end);
  process.on("SIGINT", end);
  process.on("SIGHUP", () => {});
}

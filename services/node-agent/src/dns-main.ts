/**
 * The DNS process. `dns-main --socket FILE --state FILE [--program ID]`; with `--warm` it loads its modules and ends, which fills the compile cache
 * that NODE_COMPILE_CACHE names. It has nobody to talk to but the agent on the socket, ends on SIGTERM, and ignores that its parent goes.
 */
import { setFlagsFromString } from "node:v8";

// The interpreter answers tens of thousands of queries a second; V8's compilers would cost more memory than all else here. Set before anything else is loaded.
for (const compiler of ["opt", "maglev", "sparkplug"]) setFlagsFromString(`--no-${compiler}`);

const { startDnsProgram } = await import("./network/dns/dns-program.ts");
const option = (name: string): string | undefined => {
  const at = process.argv.indexOf(name);
  return at < 0 ? undefined : process.argv[at + 1];
};
const socket = option("--socket");
const stateFile = option("--state");

if (!process.argv.includes("--warm")) {
  if (socket === undefined || stateFile === undefined) {
    process.stderr.write(
      "error: --socket and --state are needed; the node agent starts this program\n",
    );
    process.exit(2);
  }
  const end = (): void => void program.close().then(() => process.exit(0));
  process.on("SIGTERM", end);
  process.on("SIGINT", end);
  process.on("SIGHUP", () => {});
  const program = await startDnsProgram({
    socket,
    stateFile,
    program: option("--program") ?? "",
    pid: process.pid,
    onShutdown: end,
  });
}

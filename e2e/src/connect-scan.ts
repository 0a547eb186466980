import type { Machine } from "@wherry/testkit";

/** Tries every TCP port of an address, a few hundred at a time; prints those that answer. Runs in the scanning machine. */
const SCRIPT = `
const net = require("node:net");
const [host] = process.argv.slice(1);
const open = [];
let next = 1;
const tryOne = () => new Promise((resolve) => {
  const port = next++;
  const socket = net.connect({ host, port, timeout: 2000 });
  socket.once("connect", () => { open.push(port); socket.destroy(); resolve(); });
  socket.once("timeout", () => { socket.destroy(); resolve(); });
  socket.once("error", () => resolve());
});
const worker = async () => { while (next <= 65535) await tryOne(); };
Promise.all(Array.from({ length: 300 }, worker)).then(() => console.log(JSON.stringify(open)));
`;

/** TCP ports of `target` that accept a connection from `from`. */
export async function scanPorts(from: Machine, target: string): Promise<number[]> {
  const { stdout } = await from.exec([process.execPath, "-e", SCRIPT, target], {
    timeoutMs: 120_000,
  });
  return JSON.parse(stdout) as number[];
}

import { runChecked, type CommandRunner } from "@wherry/net";

/** Sets kernel parameters of this network namespace; those that have the value already are not written, so that a read-only /proc/sys does not matter then. */
export async function setKernelParameters(
  run: CommandRunner,
  parameters: Readonly<Record<string, string>>,
): Promise<void> {
  for (const [name, value] of Object.entries(parameters)) {
    const file = `/proc/sys/${name}`;
    const current = await run.run(["cat", file]);
    if (current.exitCode === 0 && current.stdout.trim() === value) continue;
    await runChecked(run, ["tee", file], { input: `${value}\n` });
  }
}

/** Routing between pods and nodes, and bridged traffic between pods of one node seen by the service rules. */
export const forwardingParameters = {
  "net/ipv4/ip_forward": "1",
  "net/bridge/bridge-nf-call-iptables": "1",
} as const;

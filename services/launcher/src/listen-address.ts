import { createServer } from "node:net";
import { tryParseAddress } from "@wherry/net";
import { UsageError, type FlagValues } from "@wherry/service-kit";
import { integerOf, textOf } from "./flag-values.ts";

export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

export function listenAddressOf(values: FlagValues): ListenAddress {
  return {
    host: addressOf(values, "bind-address") ?? "0.0.0.0",
    port: portOf(values, "https-listen-port") ?? 6443,
  };
}

export function portOf(values: FlagValues, name: string): number | undefined {
  const port = integerOf(values, name);
  if (port !== undefined && (port < 1 || port > 65_535))
    throw new UsageError(`--${name} must be a port between 1 and 65535, not ${port}`);
  return port;
}

export function addressOf(values: FlagValues, name: string): string | undefined {
  const text = textOf(values, name);
  if (text !== undefined && tryParseAddress(text) === undefined)
    throw new UsageError(`--${name} must be an IP address, not "${text}"`);
  return text;
}

/** Looks before anything is started or written; the listener itself says the same when someone comes in between. */
export async function assertPortFree({ host, port }: ListenAddress): Promise<void> {
  const server = createServer();
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen({ host, port }, resolve);
    });
  } catch (error) {
    throw new Error(
      explain((error as NodeJS.ErrnoException).code, host, port) ??
        `cannot listen on ${host}:${port}: ${(error as Error).message}`,
      { cause: error },
    );
  }
  await new Promise((resolve) => server.close(resolve));
}

function explain(code: string | undefined, host: string, port: number): string | undefined {
  switch (code) {
    case "EADDRINUSE":
      return `port ${port} on ${host} is in use by another process; stop it (ss -ltnp shows it), or choose another port with --https-listen-port`;
    case "EACCES":
      return `listening on ${host}:${port} is not permitted; choose a port above 1023 or run as root`;
    case "EADDRNOTAVAIL":
      return `--bind-address ${host} is not an address of this machine; ip -br address shows them`;
    default:
      return undefined;
  }
}

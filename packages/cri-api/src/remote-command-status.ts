/** The Status that ends a remote command (protocol version 4 and later): success, an exit code, or why it could not run. */
export type RemoteCommandOutcome =
  | { readonly kind: "exited"; readonly exitCode: number }
  | { readonly kind: "failed"; readonly message: string };

const NON_ZERO_EXIT = "NonZeroExitCode";
const EXIT_CODE_CAUSE = "ExitCode";

/** The text that upstream's kubelet writes on the error channel. */
export function formatRemoteCommandStatus(outcome: RemoteCommandOutcome): string {
  if (outcome.kind === "failed") {
    return JSON.stringify({
      metadata: {},
      status: "Failure",
      message: `Internal error occurred: ${outcome.message}`,
      reason: "InternalError",
      details: { causes: [{ message: outcome.message }] },
      code: 500,
    });
  }
  if (outcome.exitCode === 0) return JSON.stringify({ metadata: {}, status: "Success" });
  const { exitCode } = outcome;
  return JSON.stringify({
    metadata: {},
    status: "Failure",
    message: `command terminated with non-zero exit code: command terminated with exit code ${exitCode}`,
    reason: NON_ZERO_EXIT,
    details: { causes: [{ reason: EXIT_CODE_CAUSE, message: String(exitCode) }] },
  });
}

interface StatusText {
  readonly status?: string;
  readonly reason?: string;
  readonly message?: string;
  readonly details?: {
    readonly causes?: readonly { readonly reason?: string; readonly message?: string }[];
  };
}

export function parseRemoteCommandStatus(text: string): RemoteCommandOutcome {
  let status: StatusText;
  try {
    status = JSON.parse(text) as StatusText;
  } catch {
    return { kind: "failed", message: text };
  }
  if (status.status === "Success") return { kind: "exited", exitCode: 0 };
  const cause = status.details?.causes?.find((candidate) => candidate.reason === EXIT_CODE_CAUSE);
  const exitCode = Number(cause?.message);
  if (status.reason === NON_ZERO_EXIT && Number.isInteger(exitCode))
    return { kind: "exited", exitCode };
  return { kind: "failed", message: status.message ?? text };
}

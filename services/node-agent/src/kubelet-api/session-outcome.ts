import { formatRemoteCommandStatus, type ExecSession } from "@wherry/cri-api";

/** Waits for the end of a session and puts it into the text of the error channel. Never rejects. */
export async function sessionOutcome(session: ExecSession): Promise<string> {
  try {
    return formatRemoteCommandStatus({ kind: "exited", exitCode: await session.exit });
  } catch (error) {
    return failureText(error);
  }
}

export function failureText(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return formatRemoteCommandStatus({
    kind: "failed",
    message: `error executing command in container: ${message}`,
  });
}

/** What a simulated process does: after `runMs` (never, when absent) it has written its output and ends with the exit code. */
export interface SimulatedProcess {
  readonly runMs?: number;
  readonly exitCode: number;
  readonly output: readonly OutputLine[];
  /** Copies stdin to stdout until stdin ends. */
  readonly copiesInput: boolean;
}

export interface OutputLine {
  readonly stream: "stdout" | "stderr";
  readonly text: string;
  /** Since the start. */
  readonly atMs: number;
}

/**
 * Understands just enough shell for tests: `true`, `false`, `exit N`, `sleep N`, `echo TEXT [>&2]` and `cat`, alone or joined by `;` or `&&` behind
 * `sh -c`. Undefined for anything else.
 */
export function interpretCommand(command: readonly string[]): SimulatedProcess | undefined {
  if (command.length === 0) return undefined;
  const [program = "", flag, script] = command;
  const isShell = program.endsWith("sh") && flag === "-c" && script !== undefined;
  const statements = isShell
    ? script.split(/;|&&/).map((statement) => statement.trim().split(/\s+/))
    : [[...command]];
  const output: OutputLine[] = [];
  let elapsedMs = 0;
  for (const [name = "", ...words] of statements.filter((statement) => statement[0] !== "")) {
    switch (name.slice(name.lastIndexOf("/") + 1)) {
      case "true":
        break;
      case "false":
        return { runMs: elapsedMs, exitCode: 1, output, copiesInput: false };
      case "exit":
        return { runMs: elapsedMs, exitCode: Number(words[0] ?? 0), output, copiesInput: false };
      case "sleep":
        if (words[0] === "infinity") return { exitCode: 0, output, copiesInput: false };
        elapsedMs += Number(words[0]) * 1000;
        break;
      case "echo": {
        const toStderr = words.at(-1) === ">&2";
        const text = (toStderr ? words.slice(0, -1) : words)
          .map((word) => (isShell ? unquote(word) : word))
          .join(" ");
        output.push({ stream: toStderr ? "stderr" : "stdout", text: `${text}\n`, atMs: elapsedMs });
        break;
      }
      case "cat":
        return words.length === 0
          ? { runMs: elapsedMs, exitCode: 0, output, copiesInput: true }
          : undefined;
      default:
        return undefined;
    }
  }
  return { runMs: elapsedMs, exitCode: 0, output, copiesInput: false };
}

function unquote(word: string): string {
  return word.replace(/^(["'])(.*)\1$/, "$2");
}

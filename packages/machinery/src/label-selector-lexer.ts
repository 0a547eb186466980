export type LabelTokenKind =
  | ")"
  | ","
  | "!"
  | "=="
  | "="
  | ">"
  | "in"
  | "<"
  | "!="
  | "notin"
  | "("
  | "identifier"
  | "end"
  | "error";

export interface LabelToken {
  readonly kind: LabelTokenKind;
  /** The text; for an error token upstream's message. */
  readonly text: string;
}

const symbols = new Map<string, LabelTokenKind>([
  [")", ")"],
  [",", ","],
  ["!", "!"],
  ["==", "=="],
  ["=", "="],
  [">", ">"],
  ["<", "<"],
  ["!=", "!="],
  ["(", "("],
]);

/** Cuts a label selector into tokens; the last one is always `end`. */
export function scanLabelSelector(text: string): readonly LabelToken[] {
  const tokens: LabelToken[] = [];
  let position = 0;
  while (position < text.length) {
    const char = text[position] ?? "";
    if (isSpace(char)) {
      position += 1;
      continue;
    }
    const start = position;
    if (isSymbol(char)) {
      const token = scanSymbol(text, start);
      tokens.push(token.token);
      position = token.next;
      continue;
    }
    while (
      position < text.length &&
      !isSymbol(text[position] ?? "") &&
      !isSpace(text[position] ?? "")
    ) {
      position += 1;
    }
    const word = text.slice(start, position);
    tokens.push({ kind: word === "in" || word === "notin" ? word : "identifier", text: word });
  }
  tokens.push({ kind: "end", text: "" });
  return tokens;
}

/** The longest run of symbol characters that is still a token; characters after it begin the next token. */
function scanSymbol(
  text: string,
  start: number,
): { readonly token: LabelToken; readonly next: number } {
  let last: LabelToken | undefined;
  let position = start;
  while (position < text.length && isSymbol(text[position] ?? "")) {
    const candidate = text.slice(start, position + 1);
    const kind = symbols.get(candidate);
    if (kind !== undefined) last = { kind, text: candidate };
    else if (last !== undefined) break;
    position += 1;
  }
  const found = text.slice(start, position);
  return {
    token: last ?? { kind: "error", text: `error expected: keyword found '${found}'` },
    next: position,
  };
}

function isSpace(char: string): boolean {
  return char === " " || char === "\t" || char === "\r" || char === "\n";
}

function isSymbol(char: string): boolean {
  return char !== "" && "=!(),><".includes(char);
}

/**
 * Replaces `$(NAME)` by its value. `$$` stands for one `$` (so `$$(NAME)` stays literal); a name that `lookup` does not know stays as it is.
 */
export function expandVariables(
  text: string,
  lookup: (name: string) => string | undefined,
): string {
  let out = "";
  let index = 0;
  while (index < text.length) {
    const dollar = text.indexOf("$", index);
    if (dollar < 0) return out + text.slice(index);
    out += text.slice(index, dollar);
    const next = text[dollar + 1];
    const close = next === "(" ? text.indexOf(")", dollar + 2) : -1;
    if (next === "$") {
      out += "$";
      index = dollar + 2;
    } else if (close >= 0) {
      const name = text.slice(dollar + 2, close);
      out += lookup(name) ?? text.slice(dollar, close + 1);
      index = close + 1;
    } else {
      out += "$";
      index = dollar + 1;
    }
  }
  return out;
}

/** The `continue` parameter of a list in pages: the revision of the list and where the next page begins. */
import { newBadRequest } from "@wherry/machinery";

export interface ContinueToken {
  /** -1 = the original revision is gone; the rest is listed as of now. */
  readonly revision: number;
  /** First path of the next page. */
  readonly start: string;
}

const tokenVersion = "meta.k8s.io/v1";

export function encodeContinue({ revision, start }: ContinueToken): string {
  return Buffer.from(JSON.stringify({ v: tokenVersion, rv: revision, start })).toString(
    "base64url",
  );
}

/** `prefix` is what all paths of this list begin with; a token never leads out of it. Throws 400. */
export function decodeContinue(text: string, prefix: string): ContinueToken {
  const invalid = (why: string): Error => newBadRequest(`invalid continue token: ${why}`);
  const json = Buffer.from(text, "base64url").toString("latin1");
  let token: { v?: unknown; rv?: unknown; start?: unknown };
  try {
    token = JSON.parse(Buffer.from(json, "latin1").toString()) as typeof token;
  } catch {
    throw invalid(`continue key is not valid: ${goJsonError(json)}`);
  }
  if (token === null || token.v !== tokenVersion)
    throw invalid(
      `continue key is not valid: server does not recognize this encoded version ${JSON.stringify(token?.v ?? "")}`,
    );
  const { rv, start } = token;
  if (typeof rv !== "number" || !Number.isSafeInteger(rv) || rv === 0)
    throw invalid(
      "continue key is not valid: incorrect encoded start resourceVersion (version meta.k8s.io/v1)",
    );
  if (typeof start !== "string" || start === "")
    throw invalid("continue key is not valid: encoded start key empty (version meta.k8s.io/v1)");
  if (start.split("/").includes("..") || !start.startsWith(prefix))
    throw invalid(`continue key is not valid: ${start}`);
  return { revision: rv, start };
}

/** The beginnings of Go's texts, as far as a damaged token shows them. */
function goJsonError(text: string): string {
  const first = text.trimStart()[0];
  if (first === undefined) return "unexpected end of JSON input";
  if (!'{["-0123456789tfn'.includes(first))
    return `invalid character ${first === "'" ? "'\\''" : `'${first}'`} looking for beginning of value`;
  return "unexpected end of JSON input";
}

import type { HttpRequest } from "@wherry/service-kit";

/**
 * The values of a header, one per line as sent. `request.headers` joins repeated lines with commas, which cannot be undone for values such as
 * group names ("Acme, Inc"). Works for HTTP/1.1 and HTTP/2.
 */
export function headerValues(
  request: Pick<HttpRequest, "rawHeaders">,
  name: string,
): readonly string[] {
  const wanted = name.toLowerCase();
  const values: string[] = [];
  for (const [header, value] of headerLines(request)) {
    if (header === wanted) values.push(value);
  }
  return values;
}

/** Values of all headers that begin with `prefix`, keyed by the rest of the name in lower case with percent escapes undone. */
export function headersWithPrefix(
  request: Pick<HttpRequest, "rawHeaders">,
  prefix: string,
): ReadonlyMap<string, readonly string[]> {
  const wanted = prefix.toLowerCase();
  const found = new Map<string, string[]>();
  for (const [header, value] of headerLines(request)) {
    if (!header.startsWith(wanted)) continue;
    const key = unescapeKey(header.slice(wanted.length));
    const values = found.get(key);
    if (values === undefined) found.set(key, [value]);
    else values.push(value);
  }
  return found;
}

function* headerLines(
  request: Pick<HttpRequest, "rawHeaders">,
): Generator<readonly [name: string, value: string]> {
  for (let index = 0; index + 1 < request.rawHeaders.length; index += 2) {
    yield [request.rawHeaders[index]!.toLowerCase(), request.rawHeaders[index + 1]!];
  }
}

/** Keys may hold characters that a header name cannot; a key that is not valid escaping stands for itself. */
function unescapeKey(key: string): string {
  try {
    return decodeURIComponent(key);
  } catch {
    return key;
  }
}

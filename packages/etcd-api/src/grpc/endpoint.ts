export interface TlsMaterial {
  /** PEM. For a client: who may have signed the server's certificate; for a server: who must have signed a client's. */
  readonly ca?: Buffer | string;
  readonly cert?: Buffer | string;
  readonly key?: Buffer | string;
}

export interface Endpoint {
  /** As grpc-js names it. */
  readonly target: string;
  /** Name or address without brackets; empty for a unix socket. */
  readonly host: string;
  readonly isTls: boolean;
}

/** Reads `http://HOST:PORT`, `https://HOST:PORT` or `unix:PATH` (`unix://PATH` too, as kine writes it). */
export function parseEndpoint(endpoint: string): Endpoint {
  if (endpoint.startsWith("unix:")) return { target: unixTarget(endpoint), host: "", isTls: false };
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined;
  const isHttp = url?.protocol === "http:" || url?.protocol === "https:";
  if (
    url === undefined ||
    !isHttp ||
    (url.pathname !== "/" && url.pathname !== "") ||
    url.search !== ""
  ) {
    throw new TypeError(
      `endpoint "${endpoint}" must be http://HOST:PORT, https://HOST:PORT or unix:PATH`,
    );
  }
  const target = `${url.hostname}:${url.port === "" ? "2379" : url.port}`;
  return { target, host: url.hostname.replace(/^\[|\]$/g, ""), isTls: url.protocol === "https:" };
}

/** Reads `HOST:PORT` or `unix:PATH`. */
export function parseListen(listen: string): string {
  if (listen.startsWith("unix:")) return unixTarget(listen);
  if (!/^.+:\d+$/.test(listen))
    throw new TypeError(`listen address "${listen}" must be HOST:PORT or unix:PATH`);
  return listen;
}

export function unixPath(target: string): string | undefined {
  return target.startsWith("unix:") ? target.slice("unix:".length) : undefined;
}

function unixTarget(text: string): string {
  const path = text.replace(/^unix:(\/\/)?/, "");
  if (path === "") throw new TypeError(`"${text}" names no socket; write unix:PATH`);
  return `unix:${path}`;
}

import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";

/** A server for fastify that never listens: requests arrive through `routing`. */
export function createDetachedServer(
  handler: (request: IncomingMessage, response: ServerResponse) => void,
): Server {
  return createServer(handler);
}

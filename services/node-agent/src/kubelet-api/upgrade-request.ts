import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";

/** An HTTP upgrade under way. Whoever answers it sets `answered` first: from then on a failure can only cut the connection. */
export interface UpgradeRequest {
  readonly request: IncomingMessage;
  readonly socket: Duplex;
  readonly head: Buffer;
  answered: boolean;
}

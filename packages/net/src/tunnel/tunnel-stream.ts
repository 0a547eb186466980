import { Duplex } from "node:stream";

/** What a stream needs of its session. */
export interface TunnelStreamLink {
  /** Sends data; `callback` when the socket has taken it. */
  send(data: Buffer, callback: (error?: Error) => void): void;
  /** Tells the peer that nothing more comes from this side; `text` is "EOF" or an error. */
  close(text: string): void;
  pause(): void;
  resume(): void;
  /** The stream is gone; its id may be forgotten. */
  released(): void;
}

/** Unread bytes above which the peer is asked to pause, and below which to go on (remotedialer's figures). */
const PAUSE_ABOVE_BYTES = 2 * 1024 * 1024;
const RESUME_BELOW_BYTES = 256 * 1024;
/** What may be under way in socket buffers when the peer is asked to pause, and some more. Beyond it the peer does not honour the pause. */
const CUT_OFF_ABOVE_BYTES = 32 * 1024 * 1024;

/**
 * One connection inside a tunnel. Bounded by pausing the peer; a peer that ignores the pause is cut off.
 */
export class TunnelStream extends Duplex {
  readonly #link: TunnelStreamLink;
  readonly #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #wantsData = false;
  #pausedPeer = false;
  #pausedByPeer = false;
  #blockedWrite: (() => void) | undefined;
  #closeSent = false;
  #peerEnded = false;

  constructor(link: TunnelStreamLink) {
    super({ allowHalfOpen: true, highWaterMark: 64 * 1024 });
    this.#link = link;
  }

  /** Called by the session. */
  receive(data: Buffer): void {
    if (this.destroyed) return;
    if (this.#wantsData && this.#waiting.length === 0) {
      this.#wantsData = this.push(data);
      return;
    }
    this.#waiting.push(data);
    this.#waitingBytes += data.length;
    if (this.#waitingBytes > CUT_OFF_ABOVE_BYTES) {
      this.destroy(new Error("the peer ignores flow control"));
    } else if (this.#waitingBytes > PAUSE_ABOVE_BYTES && !this.#pausedPeer) {
      this.#pausedPeer = true;
      this.#link.pause();
    }
  }

  /** The peer closed: gracefully, or with an error text. */
  peerClosed(text: string, graceful: boolean): void {
    if (!graceful) {
      this.#closeSent = true;
      this.destroy(new Error(text));
      return;
    }
    this.#peerEnded = true;
    this.#deliver();
  }

  peerPaused(): void {
    this.#pausedByPeer = true;
  }

  peerResumed(): void {
    this.#pausedByPeer = false;
    const write = this.#blockedWrite;
    this.#blockedWrite = undefined;
    write?.();
  }

  override _read(): void {
    this.#wantsData = true;
    this.#deliver();
  }

  override _write(
    chunk: Buffer,
    _encoding: BufferEncoding,
    callback: (error?: Error | null) => void,
  ): void {
    const write = (): void => this.#link.send(chunk, callback);
    if (this.#pausedByPeer) this.#blockedWrite = write;
    else write();
  }

  override _final(callback: (error?: Error | null) => void): void {
    this.#sendClose("EOF");
    callback();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#waiting.length = 0;
    this.#waitingBytes = 0;
    this.#sendClose(error === null ? "EOF" : error.message);
    this.#blockedWrite = undefined;
    this.#link.released();
    callback(error);
  }

  #sendClose(text: string): void {
    if (this.#closeSent) return;
    this.#closeSent = true;
    this.#link.close(text);
  }

  #deliver(): void {
    while (this.#wantsData && this.#waiting.length > 0) {
      const data = this.#waiting.shift() as Buffer;
      this.#waitingBytes -= data.length;
      this.#wantsData = this.push(data);
    }
    if (this.#pausedPeer && this.#waitingBytes < RESUME_BELOW_BYTES) {
      this.#pausedPeer = false;
      this.#link.resume();
    }
    if (this.#peerEnded && this.#waiting.length === 0 && !this.readableEnded) this.push(null);
  }
}

import { Worker } from "node:worker_threads";
import { createDeferred, workerFile, type Deferred } from "@wherry/service-kit";
import type { AuthorityRequest, CsrRequest, KeyPair, LeafRequest } from "./certificate.ts";

/**
 * Issues certificates in a worker thread that is started when first needed and ended after a moment without work, so that the 23 MB of the
 * X.509 library are not resident in a running server.
 */
const IDLE_MS = 2_000;
/** Calls under way at once; more are refused, which the caller answers as "try again". */
const CALLS_MAX = 256;

export class PkiError extends Error {
  readonly code: "invalid" | "busy";

  constructor(code: PkiError["code"], message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "PkiError";
    this.code = code;
  }
}

/** A self-signed ECDSA P-256 certificate authority. */
export function createAuthority(request: AuthorityRequest): Promise<KeyPair> {
  return call("createAuthority", [request]);
}

/** A certificate with a new key, or with the given one. */
export function issueCertificate(
  authority: KeyPair,
  request: LeafRequest,
  keyPem?: string,
): Promise<KeyPair> {
  return call("issueLeaf", [authority, request, keyPem]);
}

/** A certificate for the key of a PKCS #10 request (DER or PEM). Subject and names are the caller's, not the request's. */
export function signCertificateRequest(
  authority: KeyPair,
  csr: Uint8Array | string,
  request: LeafRequest,
): Promise<string> {
  return call("signRequest", [authority, csr, request]);
}

/** A key (new, or the given one) and a PKCS #10 request for it. */
export function createCertificateRequest(
  request: CsrRequest,
  keyPem?: string,
): Promise<{ keyPem: string; csrDer: Uint8Array }> {
  return call("createRequest", [request, keyPem]);
}

/** What a PKCS #10 request asks for. Throws PkiError when it cannot be parsed or its signature is wrong. */
export function readCertificateRequest(csr: Uint8Array | string): Promise<CsrRequest> {
  return call("readRequest", [csr]);
}

interface Session {
  readonly worker: Worker;
  readonly calls: Map<number, Deferred<never>>;
  idle: NodeJS.Timeout | undefined;
}

/** One worker at a time; state of this module only while certificates are being made. */
let session: Session | undefined;
let lastId = 0;

function call<T>(operation: string, args: readonly unknown[]): Promise<T> {
  session ??= open();
  const { worker, calls } = session;
  if (calls.size >= CALLS_MAX)
    return Promise.reject(new PkiError("busy", "too many certificate requests at once; try again"));
  clearTimeout(session.idle);
  lastId += 1;
  const deferred = createDeferred<T>();
  calls.set(lastId, deferred as unknown as Deferred<never>);
  worker.ref();
  worker.postMessage({ id: lastId, operation, args });
  return deferred.promise;
}

function open(): Session {
  const worker = new Worker(workerFile(import.meta.url, "x509-worker"));
  const opened: Session = { worker, calls: new Map(), idle: undefined };
  worker.on("message", (answer: { id: number; result?: never; error?: string }) => {
    const deferred = opened.calls.get(answer.id);
    opened.calls.delete(answer.id);
    if (answer.error === undefined) deferred?.resolve(answer.result as never);
    else deferred?.reject(new PkiError("invalid", answer.error));
    if (opened.calls.size > 0) return;
    worker.unref();
    opened.idle = setTimeout(() => close(opened), IDLE_MS);
    opened.idle.unref();
  });
  worker.on("error", (error) => {
    for (const deferred of opened.calls.values()) deferred.reject(error);
    opened.calls.clear();
    if (session === opened) session = undefined;
  });
  return opened;
}

function close(idle: Session): void {
  if (session === idle) session = undefined;
  void idle.worker.terminate();
}

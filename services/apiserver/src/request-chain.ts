/**
 * What every request goes through, in upstream's order: authenticate, audit, impersonate, flow control, authorise, and then the resource or path
 * that it names. In-process callers bring their identity and enter behind authentication.
 */
import { randomUUID } from "node:crypto";
import { ApiError, newGenericFailure, statusOf, type UserInfo } from "@wherry/machinery";
import type { Clock, HttpRequest, Logger } from "@wherry/service-kit";
import { createWarnings, sendError, sendNotFoundText, sendText } from "./answer.ts";
import type { AuditSink } from "./audit.ts";
import { authorizationAttributes, forbidden } from "./auth/authorization.ts";
import { withAuthenticatedGroup } from "./auth/authentication.ts";
import { impersonate } from "./auth/impersonation.ts";
import type { Authorizer } from "./chain.ts";
import type { Exchange, ResponseHeaders, ResponseStream } from "./exchange.ts";
import { isLongRunning, type InflightLimit } from "./inflight-limit.ts";
import type { PathHandler } from "./path-routes.ts";
import { headerText } from "./request-body.ts";
import { parseRequestInfo } from "./request-info.ts";
import { metricVerb, type RequestMetrics } from "./request-metrics.ts";
import type { RestApi } from "./rest-api.ts";
import { apiErrorOfStore } from "./store-error.ts";

export interface RequestChainDeps {
  readonly authenticate: (request: HttpRequest) => Promise<UserInfo>;
  readonly authorizer: Authorizer;
  readonly inflight: InflightLimit;
  readonly metrics: RequestMetrics;
  readonly rest: RestApi;
  /** The handler of a non-resource path; undefined = 404. */
  readonly route: (path: string) => PathHandler | undefined;
  readonly clock: Clock;
  readonly log: Logger;
  readonly audit?: AuditSink;
  /** True from the moment at which new requests are refused. */
  readonly isDraining: () => boolean;
}

/** Answers every request; never rejects. */
export type RequestChain = (exchange: Exchange) => Promise<void>;

export function createRequestChain(deps: RequestChainDeps): RequestChain {
  const { authorizer, clock, log } = deps;
  return async (received) => {
    const receivedMs = clock.now();
    const startedMs = clock.monotonic();
    const auditId = headerText(received, "audit-id") ?? randomUUID();
    const info = parseRequestInfo(received.method, received.url);
    const warnings = createWarnings();
    const { exchange, code } = observed(received, auditId);
    let caller: UserInfo | undefined;
    let user: UserInfo | undefined;
    let leave: (() => void) | undefined;
    try {
      if (deps.isDraining()) throw newGenericFailure(503);
      caller = withAuthenticatedGroup(
        exchange.identity ?? (await deps.authenticate(exchange.httpRequest!)),
      );
      user = await impersonate(exchange, caller, authorizer);
      leave = deps.inflight.enter(info, user);
      if (leave === undefined) {
        deps.metrics.terminated.increment({
          component: "apiserver",
          code: "429",
          verb: metricVerb(info, exchange.method),
        });
        return sendText(exchange, 429, "Too many requests, please try again later.\n", {
          "retry-after": "1",
        });
      }
      const attributes = authorizationAttributes(user, info);
      const decided = authorizer.authorize(attributes);
      const { decision, reason } = decided instanceof Promise ? await decided : decided;
      if (decision !== "allow") throw forbidden(attributes, reason);
      if (info.isResourceRequest) return await deps.rest.handle({ exchange, info, user, warnings });
      const handler = deps.route(info.path);
      if (handler === undefined) return sendNotFoundText(exchange);
      return await handler({ exchange, info, user });
    } catch (thrown) {
      if (received.signal.aborted) return;
      const error = apiErrorOfStore(
        thrown,
        { group: info.apiGroup, resource: info.resource },
        info.verb,
      );
      // An ApiError is an answer; anything else that ends in a 500 is a failure of ours.
      if (!(error instanceof ApiError) && (statusOf(error).code ?? 500) >= 500) {
        log.error({ err: error, path: info.path, verb: info.verb }, "a request failed");
      }
      if (!exchange.answered) sendError(exchange, error, warnings.texts);
    } finally {
      leave?.();
      const seconds = isLongRunning(info) ? undefined : (clock.monotonic() - startedMs) / 1000;
      deps.metrics.observe(info, received.method, code(), seconds);
      if (deps.audit !== undefined && caller !== undefined) {
        deps.audit({
          auditId,
          user: caller,
          impersonated: user === caller ? undefined : user,
          info,
          method: received.method,
          sourceAddress: received.remoteAddress,
          userAgent: headerText(received, "user-agent") ?? "",
          code: code(),
          receivedMs,
          completedMs: clock.now(),
        });
      }
    }
  };
}

/** Remembers the status code of the answer, and puts the audit id on it. */
function observed(
  received: Exchange,
  auditId: string,
): { readonly exchange: Exchange; readonly code: () => number } {
  let code = 0;
  const stamped = (status: number, headers: ResponseHeaders): ResponseHeaders => {
    code = status;
    return { "audit-id": auditId, ...headers };
  };
  const exchange: Exchange = Object.create(received, {
    send: {
      value: (status: number, headers: ResponseHeaders, body: readonly Uint8Array[]): void =>
        received.send(status, stamped(status, headers), body),
    },
    startStream: {
      value: (status: number, headers: ResponseHeaders): ResponseStream =>
        received.startStream(status, stamped(status, headers)),
    },
  }) as Exchange;
  return { exchange, code: () => code };
}

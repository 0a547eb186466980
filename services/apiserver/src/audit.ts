import type { UserInfo } from "@wherry/machinery";
import type { RequestInfo } from "./chain.ts";

/** What happened to one request. Bodies are not part of it. */
export interface AuditEvent {
  readonly auditId: string;
  readonly user: UserInfo;
  /** Set when `user` acted as somebody else. */
  readonly impersonated: UserInfo | undefined;
  readonly info: RequestInfo;
  readonly method: string;
  readonly sourceAddress: string;
  readonly userAgent: string;
  readonly code: number;
  readonly receivedMs: number;
  readonly completedMs: number;
}

/** Called once a request was answered. Must be quick and must not throw. */
export type AuditSink = (event: AuditEvent) => void;

import type { Clock } from "@wherry/service-kit";
import type { Authorization } from "../auth/authorization.ts";
import type { AdmissionPlugin } from "../chain.ts";
import type { ObjectStore } from "../object-store.ts";
import { createCertificatePermissions } from "./certificate-permissions.ts";
import { createDefaultIngressClass, createDefaultStorageClass } from "./default-classes.ts";
import { defaultTolerationSeconds } from "./default-toleration-seconds.ts";
import { createNamespaceLifecycle } from "./namespace-lifecycle.ts";
import { createNodeRestriction } from "./node-restriction.ts";
import { storageObjectInUseProtection, taintNodesByCondition } from "./object-protection.ts";
import { createPriorityAdmission } from "./priority.ts";
import { createRoleEscalationCheck } from "./role-escalation.ts";
import { createServiceAccountAdmission } from "./service-account.ts";

export interface AdmissionOptions {
  readonly store: Pick<ObjectStore, "get" | "peek" | "peekAll" | "subscribe">;
  readonly authorization: Authorization;
  readonly clock: Clock;
  readonly random: () => number;
}

/**
 * The built-in plugins in upstream's order. LimitRanger belongs behind NamespaceLifecycle, webhooks and policies behind DefaultIngressClass, and ResourceQuota at
 * the very end; the caller appends what allocates (addresses, ports) behind all of these.
 */
export function createAdmissionPlugins({
  store,
  authorization,
  clock,
  random,
}: AdmissionOptions): readonly AdmissionPlugin[] {
  return [
    createNamespaceLifecycle(store),
    createServiceAccountAdmission({ store, clock, random }),
    createNodeRestriction(store),
    taintNodesByCondition,
    createPriorityAdmission(store),
    defaultTolerationSeconds,
    createDefaultStorageClass(store),
    storageObjectInUseProtection,
    createCertificatePermissions(authorization),
    createDefaultIngressClass(store),
    createRoleEscalationCheck(authorization),
  ];
}

import {
  fieldForbidden,
  fieldNotSupported,
  fieldRequired,
  formatTime,
  newConflict,
  newInvalid,
  type Json,
  type KubeObject,
  type StatusCause,
} from "@wherry/machinery";
import type { Clock } from "@wherry/service-kit";
import type { ObjectStore, ResourceId } from "../object-store.ts";
import type { ObjectSubresource } from "../subresource-handler.ts";

interface Condition {
  readonly type?: string;
  readonly status?: string;
  readonly reason?: string;
  readonly message?: string;
  readonly lastUpdateTime?: string;
  readonly lastTransitionTime?: string;
}

interface SigningRequest extends KubeObject {
  readonly status?: { readonly conditions?: readonly Condition[]; readonly certificate?: string };
}

const signingRequests: ResourceId = {
  group: "certificates.k8s.io",
  resource: "certificatesigningrequests",
};
const decisions: readonly (string | undefined)[] = ["Approved", "Denied"];

/** Where a signing request is approved or denied: conditions of these two types are taken, and everything else stays. */
export function createCertificateApprovalHandler(
  store: Pick<ObjectStore, "get" | "guaranteedUpdate">,
  clock: Clock,
): ObjectSubresource {
  return {
    type: "object",
    ...signingRequests,
    subresource: "approval",
    get: (request) => store.get(signingRequests, "", request.name, { signal: request.signal }),
    update: (request, build) =>
      store.guaranteedUpdate<SigningRequest>(
        signingRequests,
        "",
        request.name,
        async (draft, current) => {
          const wanted = (await build(current)) as unknown as SigningRequest;
          const version = wanted.metadata.resourceVersion;
          if (version && version !== current.metadata.resourceVersion)
            throw newConflict(signingRequests, request.name);
          const before = current.status?.conditions ?? [];
          const conditions = merge(
            before,
            wanted.status?.conditions ?? [],
            formatTime(clock.now()),
          );
          const causes = problemsOf(before, conditions);
          if (causes.length > 0)
            throw newInvalid(
              { group: signingRequests.group, kind: "CertificateSigningRequest" },
              request.name,
              causes,
            );
          draft["status"] = {
            ...(draft["status"] as Readonly<Record<string, Json>> | undefined),
            conditions: conditions as unknown as Json,
          };
          return draft;
        },
        { dryRun: request.dryRun, signal: request.signal },
      ),
  };
}

function merge(
  before: readonly Condition[],
  wanted: readonly Condition[],
  now: string,
): readonly Condition[] {
  const kept = before.filter((condition) => !decisions.includes(condition.type));
  const decided = wanted
    .filter((condition) => decisions.includes(condition.type))
    .map((condition) => {
      const known = before.find(
        (one) => one.type === condition.type && one.status === condition.status,
      );
      return {
        ...condition,
        lastUpdateTime: condition.lastUpdateTime ?? now,
        lastTransitionTime: condition.lastTransitionTime ?? known?.lastTransitionTime ?? now,
      };
    });
  return [...kept, ...decided];
}

function problemsOf(
  before: readonly Condition[],
  after: readonly Condition[],
): readonly StatusCause[] {
  const causes: StatusCause[] = [];
  for (const [index, { status }] of after.entries()) {
    const field = `status.conditions[${index}].status`;
    if (!status) causes.push(fieldRequired(field));
    else if (status !== "True") causes.push(fieldNotSupported(field, status, ["True"]));
  }
  if (decisions.every((type) => after.some((condition) => condition.type === type))) {
    causes.push({
      reason: "FieldValueInvalid",
      message: 'Invalid value: "Denied": Approved and Denied conditions are mutually exclusive',
      field: "status.conditions",
    });
  }
  for (const type of decisions) {
    if (
      before.some((condition) => condition.type === type) &&
      !after.some((condition) => condition.type === type)
    ) {
      causes.push(
        fieldForbidden(
          "status.conditions",
          `updates may not remove a condition of type ${JSON.stringify(type)}`,
        ),
      );
    }
  }
  return causes;
}

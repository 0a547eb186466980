/** CreateOptions, UpdateOptions, PatchOptions and DeleteOptions: query parameters (and for DELETE the body), checked as upstream checks them. */
import {
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldTooLong,
  newBadRequest,
  newInvalid,
  type Json,
  type JsonObject,
  type StatusCause,
} from "@wherry/machinery";
import type { FieldValidation } from "@wherry/schema";
import { isTrue } from "./request-info.ts";
import type { DeleteParameters } from "./resource-operations.ts";

export interface WriteRequestOptions {
  readonly dryRun: boolean;
  readonly fieldValidation: FieldValidation;
}

export type WriteOptionsKind = "CreateOptions" | "UpdateOptions" | "PatchOptions";

const fieldManagerBytesMax = 128;

export function parseWriteOptions(
  kind: WriteOptionsKind,
  query: URLSearchParams,
  patchIsApply = false,
): WriteRequestOptions {
  const dryRun = query.getAll("dryRun").filter((value) => value !== "");
  const validation = query.get("fieldValidation") ?? "";
  const manager = query.get("fieldManager") ?? "";
  const causes: StatusCause[] = [];
  if (kind === "PatchOptions" && !patchIsApply && query.get("force") !== null) {
    causes.push(fieldForbidden("force", "may not be specified for non-apply patch"));
  }
  if (Buffer.byteLength(manager) > fieldManagerBytesMax)
    causes.push(fieldTooLong("fieldManager", fieldManagerBytesMax));
  else if (/[^\P{C}]/u.test(manager))
    causes.push(fieldInvalid("fieldManager", manager, "should only contain printable characters"));
  causes.push(...dryRunProblems(dryRun));
  if (!["", "Ignore", "Strict", "Warn"].includes(validation)) {
    causes.push(fieldNotSupported("fieldValidation", validation, ["", "Ignore", "Strict", "Warn"]));
  }
  refuse(kind, causes);
  return {
    dryRun: dryRun.length > 0,
    fieldValidation: validation === "" ? "Warn" : (validation as FieldValidation),
  };
}

export interface DeleteRequestOptions {
  readonly dryRun: boolean;
  readonly parameters: DeleteParameters;
}

const policies = ["Foreground", "Background", "Orphan"];

/** `body` is the parsed DeleteOptions when the request had a body; it then decides alone. */
export function parseDeleteOptions(
  query: URLSearchParams,
  body: JsonObject | undefined,
): DeleteRequestOptions {
  const given = body ?? fromQuery(query);
  const { gracePeriodSeconds, propagationPolicy, orphanDependents } = given;
  const dryRun = Array.isArray(given["dryRun"]) ? given["dryRun"].map(String) : [];
  const preconditions = given["preconditions"] as
    | { readonly uid?: string | null; readonly resourceVersion?: string | null }
    | null
    | undefined;
  const causes: StatusCause[] = [];
  if (set(orphanDependents) && set(propagationPolicy)) {
    causes.push(
      fieldInvalid(
        "propagationPolicy",
        propagationPolicy,
        "orphanDependents and deletionPropagation cannot be both set",
      ),
    );
  }
  if (set(propagationPolicy) && !policies.includes(String(propagationPolicy))) {
    causes.push(fieldNotSupported("propagationPolicy", propagationPolicy, [...policies, "nil"]));
  }
  causes.push(...dryRunProblems(dryRun));
  refuse("DeleteOptions", causes);
  if (set(gracePeriodSeconds) && !Number.isInteger(gracePeriodSeconds))
    throw newBadRequest("gracePeriodSeconds must be a whole number");
  return {
    dryRun: dryRun.length > 0,
    parameters: {
      ...(set(gracePeriodSeconds) ? { gracePeriodSeconds: Number(gracePeriodSeconds) } : {}),
      ...(set(propagationPolicy) ? { propagationPolicy: propagationPolicy as "Orphan" } : {}),
      ...(set(orphanDependents) ? { orphanDependents: orphanDependents === true } : {}),
      ...(preconditions === undefined || preconditions === null
        ? {}
        : {
            preconditions: {
              ...(typeof preconditions.uid === "string" ? { uid: preconditions.uid } : {}),
              ...(typeof preconditions.resourceVersion === "string"
                ? { resourceVersion: preconditions.resourceVersion }
                : {}),
            },
          }),
    },
  };
}

function fromQuery(query: URLSearchParams): JsonObject {
  const grace = query.get("gracePeriodSeconds");
  const orphan = query.get("orphanDependents");
  const policy = query.get("propagationPolicy");
  if (grace !== null && grace !== "" && !/^-?\d+$/.test(grace))
    throw newBadRequest(`strconv.ParseInt: parsing ${JSON.stringify(grace)}: invalid syntax`);
  return {
    ...(grace === null || grace === "" ? {} : { gracePeriodSeconds: Number(grace) }),
    ...(orphan === null ? {} : { orphanDependents: isTrue(orphan) }),
    ...(policy === null ? {} : { propagationPolicy: policy }),
    dryRun: query.getAll("dryRun").filter((value) => value !== ""),
  };
}

function set(value: Json | undefined): boolean {
  return value !== undefined && value !== null;
}

/** The message shows the whole list as Go prints a slice of quoted strings in JSON. */
function dryRunProblems(values: readonly string[]): readonly StatusCause[] {
  return values.every((value) => value === "All")
    ? []
    : [fieldNotSupported("dryRun", values, ["All"])];
}

function refuse(kind: string, causes: readonly StatusCause[]): void {
  if (causes.length > 0) throw newInvalid({ group: "meta.k8s.io", kind }, "", causes);
}

/** The query parameters of LIST, WATCH and DELETECOLLECTION, checked as upstream checks meta/v1 ListOptions. */
import {
  ApiError,
  everyField,
  everyLabel,
  fieldForbidden,
  fieldNotSupported,
  goQuote,
  newBadRequest,
  newInvalid,
  parseFieldSelector,
  parseLabelSelector,
  type FieldMatcher,
  type LabelMatcher,
  type StatusCause,
} from "@wherry/machinery";
import { isTrue } from "./request-info.ts";
import type { ServedResource } from "./served-resource.ts";

export interface ListOptions {
  readonly labels: LabelMatcher;
  readonly fields: FieldMatcher;
  /** undefined = as of now; 0 = whatever is there. */
  readonly resourceVersion: number | undefined;
  readonly resourceVersionMatch: "" | "Exact" | "NotOlderThan";
  /** 0 = all. */
  readonly limit: number;
  readonly continueToken: string;
  readonly timeoutSeconds: number | undefined;
  readonly allowWatchBookmarks: boolean;
  readonly sendInitialEvents: boolean | undefined;
}

export function parseListOptions(
  query: URLSearchParams,
  served: ServedResource,
  watch: boolean,
): ListOptions {
  const match = query.get("resourceVersionMatch") ?? "";
  const continueToken = query.get("continue") ?? "";
  const initial = query.get("sendInitialEvents");
  const version = query.get("resourceVersion") ?? "";
  const limit = integer(query.get("limit")) ?? 0;
  const timeoutSeconds = integer(query.get("timeoutSeconds"));
  const causes = watch
    ? watchProblems(match, continueToken, initial !== null)
    : listProblems(match, continueToken, version, initial !== null);
  if (causes.length > 0)
    throw newInvalid({ group: "meta.k8s.io", kind: "ListOptions" }, "", causes);
  return {
    labels: labelsOf(query.get("labelSelector")),
    fields: fieldsOf(query.get("fieldSelector"), served),
    resourceVersion: parseResourceVersion(version),
    resourceVersionMatch: match as ListOptions["resourceVersionMatch"],
    limit: Math.max(0, limit),
    continueToken,
    timeoutSeconds,
    allowWatchBookmarks: isTrue(query.get("allowWatchBookmarks")),
    sendInitialEvents: initial === null ? undefined : isTrue(initial),
  };
}

export function parseResourceVersion(text: string): number | undefined {
  if (text === "") return undefined;
  if (/^\d{1,15}$/.test(text)) return Number(text);
  const why = /^\d+$/.test(text) ? "value out of range" : "invalid syntax";
  const message = `resourceVersion: Invalid value: ${goQuote(text)}: strconv.ParseUint: parsing ${goQuote(text)}: ${why}`;
  throw new ApiError({
    kind: "Status",
    apiVersion: "v1",
    metadata: {},
    status: "Failure",
    message,
    code: 500,
  });
}

function integer(text: string | null): number | undefined {
  if (text === null || text === "") return undefined;
  if (/^[+-]?\d{1,15}$/.test(text)) return Number(text);
  throw newBadRequest(`strconv.ParseInt: parsing ${goQuote(text)}: invalid syntax`);
}

function labelsOf(text: string | null): LabelMatcher {
  return text === null || text === "" ? everyLabel : parseLabelSelector(text);
}

function fieldsOf(text: string | null, served: ServedResource): FieldMatcher {
  if (text === null || text === "") return everyField;
  const matcher = parseFieldSelector(text);
  const known = served.knownFields();
  for (const { field } of matcher.requirements) {
    if (known.has(field)) continue;
    if (known.size > 2) throw newBadRequest(`field label not supported: ${field}`);
    throw newBadRequest(
      `${goQuote(field)} is not a known field selector: only "metadata.name", "metadata.namespace"`,
    );
  }
  return matcher;
}

const matchField = "resourceVersionMatch";

function listProblems(
  match: string,
  continueToken: string,
  version: string,
  hasInitial: boolean,
): readonly StatusCause[] {
  const causes: StatusCause[] = [];
  if (match !== "") {
    if (version === "")
      causes.push(
        fieldForbidden(
          matchField,
          "resourceVersionMatch is forbidden unless resourceVersion is provided",
        ),
      );
    if (continueToken !== "")
      causes.push(
        fieldForbidden(matchField, "resourceVersionMatch is forbidden when continue is provided"),
      );
    if (match !== "Exact" && match !== "NotOlderThan")
      causes.push(fieldNotSupported(matchField, match, ["Exact", "NotOlderThan", ""]));
    if (match === "Exact" && version === "0")
      causes.push(
        fieldForbidden(
          matchField,
          'resourceVersionMatch "exact" is forbidden for resourceVersion "0"',
        ),
      );
  }
  if (hasInitial)
    causes.push(fieldForbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"));
  return causes;
}

function watchProblems(
  match: string,
  continueToken: string,
  hasInitial: boolean,
): readonly StatusCause[] {
  const causes: StatusCause[] = [];
  if (hasInitial && match !== "NotOlderThan") {
    causes.push(
      fieldForbidden(
        matchField,
        "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
      ),
    );
  }
  if (match !== "") {
    if (!hasInitial)
      causes.push(
        fieldForbidden(
          matchField,
          "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
        ),
      );
    if (match !== "NotOlderThan")
      causes.push(fieldNotSupported(matchField, match, ["NotOlderThan"]));
  }
  if (continueToken !== "")
    causes.push(
      fieldForbidden(matchField, "resourceVersionMatch is forbidden when continue is provided"),
    );
  return causes;
}

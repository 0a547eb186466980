import {
  fieldInvalid,
  formatTime,
  newBadRequest,
  newInvalid,
  type Json,
  type KubeObject,
  type UserInfo,
} from "@wherry/machinery";
import type { Draft } from "@wherry/schema";
import type { Clock } from "@wherry/service-kit";
import type { AuthorizationAttributes } from "../chain.ts";
import type { Authorization } from "../auth/authorization.ts";
import type { TokenAuthenticator } from "../auth/bearer-token-authenticator.ts";
import type { ObjectSubresource, SubresourceRequest } from "../subresource-handler.ts";

export interface ReviewDependencies {
  readonly authorization: Authorization;
  readonly tokens: TokenAuthenticator;
  readonly apiAudiences: readonly string[];
  readonly clock: Clock;
}

interface AccessReviewSpec {
  readonly user?: string;
  readonly groups?: readonly string[];
  readonly uid?: string;
  readonly extra?: Readonly<Record<string, readonly string[]>>;
  readonly resourceAttributes?: {
    readonly namespace?: string;
    readonly verb?: string;
    readonly group?: string;
    readonly version?: string;
    readonly resource?: string;
    readonly subresource?: string;
    readonly name?: string;
    readonly fieldSelector?: {
      readonly rawSelector?: string;
      readonly requirements?: readonly {
        readonly key?: string;
        readonly operator?: string;
        readonly values?: readonly string[];
      }[];
    };
  };
  readonly nonResourceAttributes?: { readonly path?: string; readonly verb?: string };
}

const authorizationGroup = "authorization.k8s.io";
const authenticationGroup = "authentication.k8s.io";

/** Questions that are asked by creating an object which is answered and forgotten. */
export function createReviewHandlers(
  dependencies: ReviewDependencies,
): readonly ObjectSubresource[] {
  const { authorization } = dependencies;
  const specOf = (draft: Draft): AccessReviewSpec => (draft["spec"] ?? {}) as AccessReviewSpec;
  const answer = (draft: Draft, user: UserInfo): KubeObject =>
    withStatus(draft, decide(authorization, user, specOf(draft)));

  return [
    handler(authorizationGroup, "subjectaccessreviews", async (_request, draft) => {
      assertAttributes(specOf(draft));
      assertSubject(specOf(draft));
      return answer(draft, subjectOf(specOf(draft)));
    }),
    handler(authorizationGroup, "localsubjectaccessreviews", async (request, draft) => {
      const spec = specOf(draft);
      assertSubject(spec);
      if ((spec.resourceAttributes?.namespace ?? "") !== request.namespace) {
        throw invalid(
          "spec.resourceAttributes.namespace",
          spec.resourceAttributes?.namespace ?? "",
          "must match metadata.namespace",
        );
      }
      return answer(draft, subjectOf(spec));
    }),
    handler(authorizationGroup, "selfsubjectaccessreviews", async (request, draft) => {
      assertAttributes(specOf(draft));
      return answer(draft, request.user);
    }),
    handler(authorizationGroup, "selfsubjectrulesreviews", async (request, draft) =>
      rulesReview(authorization, request, draft),
    ),
    handler(authenticationGroup, "tokenreviews", async (_request, draft) =>
      tokenReview(dependencies, draft),
    ),
    handler(authenticationGroup, "selfsubjectreviews", async (request, draft) =>
      selfReview(request, draft, dependencies.clock),
    ),
  ];
}

function handler(
  group: string,
  resource: string,
  create: NonNullable<ObjectSubresource["create"]>,
): ObjectSubresource {
  return { type: "object", group, resource, subresource: "", create };
}

function decide(authorization: Authorization, user: UserInfo, spec: AccessReviewSpec): Json {
  const decision = authorization.authorize(attributesOf(user, spec));
  return {
    allowed: decision.decision === "allow",
    ...(decision.decision === "deny" ? { denied: true } : {}),
    ...(decision.reason === "" ? {} : { reason: decision.reason }),
  };
}

function attributesOf(
  user: UserInfo,
  { resourceAttributes, nonResourceAttributes }: AccessReviewSpec,
): AuthorizationAttributes {
  const selector = resourceAttributes?.fieldSelector;
  const fieldSelector =
    selector?.rawSelector ??
    selector?.requirements
      ?.flatMap(({ key, operator, values }) =>
        operator === "In" && values?.length === 1 ? [`${key}=${values[0]}`] : [],
      )
      .join(",");
  return {
    user,
    verb: resourceAttributes?.verb ?? nonResourceAttributes?.verb ?? "",
    isResourceRequest: resourceAttributes !== undefined,
    apiGroup: resourceAttributes?.group ?? "",
    apiVersion: resourceAttributes?.version ?? "",
    resource: resourceAttributes?.resource ?? "",
    subresource: resourceAttributes?.subresource ?? "",
    namespace: resourceAttributes?.namespace ?? "",
    name: resourceAttributes?.name ?? "",
    path: nonResourceAttributes?.path ?? "",
    ...(fieldSelector === undefined || fieldSelector === "" ? {} : { fieldSelector }),
  };
}

function subjectOf({ user = "", groups = [], uid, extra }: AccessReviewSpec): UserInfo {
  return {
    name: user,
    groups,
    ...(uid === undefined ? {} : { uid }),
    ...(extra === undefined ? {} : { extra }),
  };
}

function assertAttributes(spec: AccessReviewSpec): void {
  const both = spec.resourceAttributes !== undefined && spec.nonResourceAttributes !== undefined;
  const neither = spec.resourceAttributes === undefined && spec.nonResourceAttributes === undefined;
  if (both)
    throw invalid(
      "spec.nonResourceAttributes",
      "",
      "cannot be specified in combination with resourceAttributes",
    );
  if (neither)
    throw invalid(
      "spec.resourceAttributes",
      null,
      "exactly one of nonResourceAttributes or resourceAttributes must be specified",
    );
}

function assertSubject({ user, groups }: AccessReviewSpec): void {
  if (!user && (groups ?? []).length === 0)
    throw invalid("spec.user", "", "at least one of user or group must be specified");
}

function invalid(field: string, value: Json, detail: string): Error {
  return newInvalid({ group: authorizationGroup, kind: "" }, "", [
    fieldInvalid(field, value, detail),
  ]);
}

function rulesReview(
  authorization: Authorization,
  request: SubresourceRequest,
  draft: Draft,
): KubeObject {
  const namespace = (draft["spec"] as { readonly namespace?: string } | undefined)?.namespace ?? "";
  if (namespace === "") throw newBadRequest("no namespace on request");
  const { grants, incomplete, error } = authorization.rulesOf(request.user, namespace);
  const rules = grants.flatMap((grant) => grant.rules);
  return withStatus(
    { ...draft, metadata: {}, spec: {} },
    {
      resourceRules: rules
        .filter((rule) => (rule.resources ?? []).length > 0)
        .map(({ verbs = [], apiGroups = [], resources = [], resourceNames }) => ({
          verbs,
          apiGroups,
          resources,
          ...(resourceNames === undefined ? {} : { resourceNames }),
        })),
      nonResourceRules: rules
        .filter((rule) => (rule.nonResourceURLs ?? []).length > 0)
        .map(({ verbs = [], nonResourceURLs = [] }) => ({ verbs, nonResourceURLs })),
      incomplete,
      ...(error === undefined ? {} : { evaluationError: error }),
    },
  );
}

async function tokenReview(
  { tokens, apiAudiences }: ReviewDependencies,
  draft: Draft,
): Promise<KubeObject> {
  const spec = (draft["spec"] ?? {}) as {
    readonly token?: string;
    readonly audiences?: readonly string[];
  };
  if (!spec.token) throw newBadRequest("token is required for TokenReview in authentication");
  const wanted = (spec.audiences ?? []).length > 0 ? (spec.audiences ?? []) : apiAudiences;
  try {
    const found = await tokens.authenticateToken(spec.token, wanted);
    if (found === undefined) return withStatus(draft, { user: {}, error: "invalid bearer token" });
    return withStatus(draft, {
      authenticated: true,
      user: userJson(withGroups(found.user)),
      audiences: found.audiences,
    });
  } catch (error) {
    return withStatus(draft, {
      user: {},
      error:
        error instanceof Error
          ? `[invalid bearer token, ${error.message}]`
          : "invalid bearer token",
    });
  }
}

/** A reviewed token's user is shown with the group that everybody gets on authentication. */
function withGroups(user: UserInfo): UserInfo {
  return user.groups.includes("system:authenticated")
    ? user
    : { ...user, groups: [...user.groups, "system:authenticated"] };
}

function selfReview(request: SubresourceRequest, draft: Draft, clock: Clock): KubeObject {
  const { managedFields: _, ...metadata } = draft.metadata;
  return withStatus(
    { ...draft, metadata: { ...metadata, creationTimestamp: formatTime(clock.now()) } },
    { userInfo: userJson(request.user) },
  );
}

function userJson({ name, uid, groups, extra }: UserInfo): Json {
  return {
    username: name,
    ...(uid === undefined || uid === "" ? {} : { uid }),
    ...(groups.length === 0 ? {} : { groups }),
    ...(extra === undefined ? {} : { extra: { ...extra } }),
  };
}

function withStatus(draft: Draft, status: Json): KubeObject {
  return { ...draft, status } as unknown as KubeObject;
}

import assert from "node:assert/strict";
import { test } from "node:test";
import type { UserInfo } from "@wherry/machinery";
import type { AuthorizationAttributes } from "../chain.ts";
import { impersonate } from "./impersonation.ts";

const admin: UserInfo = { name: "admin", groups: ["system:masters"] };
const allow = { authorize: () => ({ decision: "allow", reason: "" }) as const };

const exchange = (headers: Readonly<Record<string, string | readonly string[]>>) => ({
  headers,
  httpRequest: undefined,
});

test("without headers the caller stays itself", async () => {
  assert.equal(await impersonate(exchange({}), admin, allow), admin);
});

test("a user is taken with groups, id and extra values", async () => {
  const headers = {
    "impersonate-user": "p",
    "impersonate-uid": "7",
    "impersonate-group": ["g", "h"],
    "impersonate-extra-scopes%2fa": "view",
  };
  assert.deepEqual(await impersonate(exchange(headers), admin, allow), {
    name: "p",
    uid: "7",
    groups: ["g", "h", "system:authenticated"],
    extra: { "scopes/a": ["view"] },
  });
});

test("a service account brings its own groups", async () => {
  const user = await impersonate(
    exchange({ "impersonate-user": "system:serviceaccount:default:default" }),
    admin,
    allow,
  );
  assert.deepEqual(user.groups, [
    "system:serviceaccounts",
    "system:serviceaccounts:default",
    "system:authenticated",
  ]);
});

test("groups without a user are refused as upstream words it", async () => {
  await assert.rejects(impersonate(exchange({ "impersonate-group": "g" }), admin, allow), {
    message:
      'requested &user.DefaultInfo{Name:"", UID:"", Groups:[]string{"g"}, Extra:map[string][]string(nil)} without impersonating a user name',
  });
});

test("every part needs the permission to impersonate it", async () => {
  const asked: string[] = [];
  const authorizer = {
    authorize(attributes: AuthorizationAttributes) {
      asked.push(`${attributes.resource}/${attributes.name}`);
      return attributes.resource === "groups"
        ? ({ decision: "noOpinion", reason: "" } as const)
        : ({ decision: "allow", reason: "" } as const);
    },
  };
  await assert.rejects(
    impersonate(
      exchange({ "impersonate-user": "p", "impersonate-group": "system:masters" }),
      { name: "ops", groups: [] },
      authorizer,
    ),
    {
      message:
        'groups "system:masters" is forbidden: User "ops" cannot impersonate resource "groups" in API group "" at the cluster scope',
    },
  );
  assert.deepEqual(asked, ["users/p", "groups/system:masters"]);
});

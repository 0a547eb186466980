import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { fieldInvalid, fieldNotSupported, fieldRequired, fieldTooLong } from "./field-error.ts";
import { MachineryError } from "./machinery-error.ts";
import type { ApiError } from "./status.ts";
import {
  isAlreadyExists,
  isApiError,
  isConflict,
  isExpired,
  isNotFound,
  newAlreadyExists,
  newBadRequest,
  newConflict,
  newExpired,
  newForbidden,
  newGenericFailure,
  newInternal,
  newInvalid,
  newMethodNotSupported,
  newNotFound,
  newTimeout,
  newTooManyRequests,
  newUnauthorized,
  newUnknownResource,
  newUnsupportedMediaType,
  statusOf,
} from "./status-errors.ts";

const pods = { group: "", resource: "pods" };
const deployments = { group: "apps", resource: "deployments" };

/** Texts of k8s.io/apimachinery/pkg/api/errors, most of them also in the recorded answers of a kube-apiserver 1.36. */
describe("status errors", () => {
  test("serialise in upstream's order of fields", () => {
    assert.equal(
      JSON.stringify(newNotFound(pods, "x").status),
      '{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"pods \\"x\\" not found","reason":"NotFound","details":{"name":"x","kind":"pods"},"code":404}',
    );
  });

  const cases: readonly [ApiError, number, string, string][] = [
    [newNotFound(deployments, "web"), 404, "NotFound", 'deployments.apps "web" not found'],
    [newAlreadyExists(pods, "x"), 409, "AlreadyExists", 'pods "x" already exists'],
    [
      newConflict(deployments, "web"),
      409,
      "Conflict",
      'Operation cannot be fulfilled on deployments.apps "web": the object has been modified; please apply your changes to the latest version and try again',
    ],
    [newForbidden(pods, "x", "no"), 403, "Forbidden", 'pods "x" is forbidden: no'],
    [newForbidden(pods, "", "no"), 403, "Forbidden", "pods is forbidden: no"],
    [newForbidden({ group: "", resource: "" }, "", "no"), 403, "Forbidden", "forbidden: no"],
    [newUnauthorized(), 401, "Unauthorized", "not authorized"],
    [newUnauthorized("Unauthorized"), 401, "Unauthorized", "Unauthorized"],
    [newBadRequest("why"), 400, "BadRequest", "why"],
    [
      newExpired("too old resource version: 1 (5)"),
      410,
      "Expired",
      "too old resource version: 1 (5)",
    ],
    [
      newMethodNotSupported(pods, "patch"),
      405,
      "MethodNotAllowed",
      'patch is not supported on resources of kind "pods"',
    ],
    [newInternal("boom"), 500, "InternalError", "Internal error occurred: boom"],
    [newTimeout("late", 1), 504, "Timeout", "Timeout: late"],
    [newTooManyRequests("slow down", 1), 429, "TooManyRequests", "slow down"],
    [newUnknownResource(), 404, "NotFound", "the server could not find the requested resource"],
    [
      newGenericFailure(422),
      422,
      "Invalid",
      "the server rejected our request due to an error in our request",
    ],
    [
      newUnsupportedMediaType(["application/json-patch+json", "application/merge-patch+json"]),
      415,
      "UnsupportedMediaType",
      "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json",
    ],
    [
      newGenericFailure(502, "bad gateway"),
      502,
      "InternalError",
      'an error on the server ("bad gateway") has prevented the request from succeeding',
    ],
  ];
  for (const [error, code, reason, message] of cases) {
    test(`answer ${code} ${reason}: ${message.slice(0, 60)}`, () => {
      assert.equal(error.code, code);
      assert.equal(error.reason, reason);
      assert.equal(error.message, message);
      assert.equal(error.status.status, "Failure");
    });
  }

  test("list the causes of an invalid object, in brackets when there are several", () => {
    const kind = { group: "apps", kind: "Deployment" };
    const replicas = fieldInvalid("spec.replicas", -1, "must be greater than or equal to 0");
    assert.equal(
      newInvalid(kind, "x", [replicas]).message,
      'Deployment.apps "x" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0',
    );
    const several = newInvalid(kind, "x", [replicas, fieldRequired("spec.selector"), replicas]);
    assert.equal(
      several.message,
      'Deployment.apps "x" is invalid: [spec.replicas: Invalid value: -1: must be greater than or equal to 0, spec.selector: Required value]',
    );
    assert.equal(several.code, 422);
    assert.deepEqual(several.status.details?.causes?.[1], {
      reason: "FieldValueRequired",
      message: "Required value",
      field: "spec.selector",
    });
  });

  test("word field errors as upstream", () => {
    assert.equal(fieldInvalid("a", "b c", "bad").message, 'Invalid value: "b c": bad');
    assert.equal(fieldInvalid("a", { x: [1] }, "bad").message, 'Invalid value: {"x":[1]}: bad');
    assert.equal(fieldInvalid("a", null, "bad").message, "Invalid value: null: bad");
    assert.equal(
      fieldNotSupported("a", "z", ["x", "y"]).message,
      'Unsupported value: "z": supported values: "x", "y"',
    );
    assert.equal(fieldTooLong("a", 128).message, "Too long: may not be more than 128 bytes");
  });

  test("are recognised by reason", () => {
    assert.ok(isNotFound(newNotFound(pods, "x")));
    assert.ok(isConflict(newConflict(pods, "x")));
    assert.ok(isAlreadyExists(newAlreadyExists(pods, "x")));
    assert.ok(!isConflict(newAlreadyExists(pods, "x")));
    assert.ok(isExpired(newExpired("x")));
    assert.ok(isApiError(newBadRequest("x"), "BadRequest"));
    assert.ok(!isApiError(new Error("x")));
  });

  test("are made from any thrown value", () => {
    assert.equal(statusOf(newNotFound(pods, "x")).code, 404);
    assert.equal(statusOf(new MachineryError("badValue", "bad selector")).code, 400);
    assert.equal(
      statusOf(new MachineryError("patchNotApplicable", "x")).message,
      "the server rejected our request due to an error in our request",
    );
    assert.deepEqual(statusOf(new Error("boom")), {
      kind: "Status",
      apiVersion: "v1",
      metadata: {},
      status: "Failure",
      message: "boom",
      code: 500,
    });
  });
});

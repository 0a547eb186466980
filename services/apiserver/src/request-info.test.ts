import { deepEqual, equal } from "node:assert/strict";
import { describe, it } from "node:test";
import { parseRequestInfo, pathBehindSubresource } from "./request-info.ts";

/** method, url, expected "verb group version namespace resource subresource name" ("-" = empty), or the verb alone for non-resource requests. */
const table: readonly (readonly [string, string, string])[] = [
  ["GET", "/api/v1/namespaces", "list - v1 - namespaces - -"],
  ["GET", "/api/v1/namespaces/other", "get - v1 other namespaces - other"],
  ["GET", "/api/v1/namespaces/other/pods", "list - v1 other pods - -"],
  ["GET", "/api/v1/namespaces/other/pods/foo", "get - v1 other pods - foo"],
  ["HEAD", "/api/v1/namespaces/other/pods/foo", "get - v1 other pods - foo"],
  ["GET", "/api/v1/pods", "list - v1 - pods - -"],
  ["GET", "/api/v1/pods?watch=true", "watch - v1 - pods - -"],
  ["GET", "/api/v1/pods?watch=false", "list - v1 - pods - -"],
  ["GET", "/api/v1/watch/pods", "watch - v1 - pods - -"],
  ["GET", "/api/v1/watch/namespaces/other/pods", "watch - v1 other pods - -"],
  [
    "GET",
    "/api/v1/namespaces/other/pods?watch=1&fieldSelector=metadata.name%3Dfoo",
    "watch - v1 other pods - foo",
  ],
  ["GET", "/api/v1/namespaces/other/pods/foo/status", "get - v1 other pods status foo"],
  ["PUT", "/api/v1/namespaces/other/finalize", "update - v1 other namespaces finalize other"],
  ["PUT", "/api/v1/namespaces/other/status", "update - v1 other namespaces status other"],
  ["POST", "/apis/apps/v1/namespaces/other/deployments", "create apps v1 other deployments - -"],
  [
    "DELETE",
    "/apis/apps/v1/namespaces/other/deployments",
    "deletecollection apps v1 other deployments - -",
  ],
  [
    "DELETE",
    "/apis/apps/v1/namespaces/other/deployments/foo",
    "delete apps v1 other deployments - foo",
  ],
  [
    "PATCH",
    "/apis/apps/v1/namespaces/other/deployments/foo/scale",
    "patch apps v1 other deployments scale foo",
  ],
  ["GET", "/api/v1/nodes/n1/proxy/pods", "get - v1 - nodes proxy n1"],
  ["GET", "/", "get"],
  ["GET", "/api", "get"],
  ["GET", "/api/v1", "get"],
  ["GET", "/apis/apps", "get"],
  ["GET", "/apis/apps/v1", "get"],
  ["POST", "/healthz", "post"],
  ["GET", "/metrics/api/v1/pods", "get"],
];

describe("parseRequestInfo", () => {
  for (const [method, url, expected] of table) {
    it(`reads ${method} ${url}`, () => {
      const info = parseRequestInfo(method, url);
      const words = info.isResourceRequest
        ? [
            info.verb,
            info.apiGroup,
            info.apiVersion,
            info.namespace,
            info.resource,
            info.subresource,
            info.name,
          ].map((word) => (word === "" ? "-" : word))
        : [info.verb];
      deepEqual(words.join(" "), expected);
    });
  }

  it("finds what lies behind a subresource", () => {
    equal(pathBehindSubresource(parseRequestInfo("GET", "/api/v1/nodes/n1/proxy/a/b")), "/a/b");
    equal(
      pathBehindSubresource(parseRequestInfo("GET", "/api/v1/namespaces/d/pods/x/proxy/")),
      "/",
    );
    equal(
      pathBehindSubresource(parseRequestInfo("GET", "/api/v1/namespaces/d/services/x/proxy")),
      "",
    );
  });
});

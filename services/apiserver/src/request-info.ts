import { parseFieldSelector } from "@wherry/machinery";
import type { RequestInfo } from "./chain.ts";

const verbOfMethod: Readonly<Record<string, string>> = {
  POST: "create",
  GET: "get",
  HEAD: "get",
  PUT: "update",
  PATCH: "patch",
  DELETE: "delete",
};

/** What may stand behind a namespace's name without being a resource inside it. */
const namespaceSubresources = new Set(["status", "finalize"]);

/**
 * Reads method and path as upstream's RequestInfo resolver does:
 * `/api/{version}/…` and `/apis/{group}/{version}/…` followed by `[namespaces/{namespace}/]{resource}[/{name}[/{subresource}[/…]]]`, with `watch` or
 * `proxy` in front in the deprecated form. Everything else is a non-resource request.
 */
export function parseRequestInfo(method: string, url: string): RequestInfo {
  const { path, query } = splitUrl(url);
  const nonResource: RequestInfo = {
    isResourceRequest: false,
    path,
    verb: method.toLowerCase(),
    apiGroup: "",
    apiVersion: "",
    namespace: "",
    resource: "",
    subresource: "",
    name: "",
    query,
  };
  const parts = path.split("/").filter((part) => part !== "");
  if (parts.length < 3) return nonResource;
  const [prefix, ...rest] = parts as [string, ...string[]];
  let group = "";
  if (prefix === "apis") {
    if (rest.length < 3) return nonResource;
    group = rest.shift()!;
  } else if (prefix !== "api") {
    return nonResource;
  }
  const apiVersion = rest.shift()!;
  let verb = verbOfMethod[method] ?? "";
  if (rest[0] === "watch" || rest[0] === "proxy") {
    if (rest.length < 2) return { ...nonResource, apiGroup: group, apiVersion };
    verb = rest.shift()!;
  }
  let namespace = "";
  if (rest[0] === "namespaces" && rest.length > 1) {
    namespace = rest[1]!;
    if (rest.length > 2 && !namespaceSubresources.has(rest[2]!)) rest.splice(0, 2);
  }
  const [resource = "", givenName = "", subresource = ""] = rest;
  let name = givenName;
  if (name === "" && verb === "get") {
    verb = isTrue(query.get("watch")) ? "watch" : "list";
  }
  if (name === "" && (verb === "list" || verb === "watch"))
    name = nameInSelector(query.get("fieldSelector"));
  if (givenName === "" && verb === "delete") verb = "deletecollection";
  return {
    isResourceRequest: true,
    path,
    verb,
    apiGroup: group,
    apiVersion,
    namespace,
    resource,
    subresource,
    name,
    query,
  };
}

/** What stands behind the subresource in the path ("/a/b" in `…/pods/x/proxy/a/b`), or "". */
export function pathBehindSubresource(info: RequestInfo): string {
  const marker = `/${info.resource}/${info.name}/${info.subresource}`;
  const at = info.path.indexOf(
    marker,
    info.namespace === "" ? 0 : info.path.indexOf("/namespaces/") + 1,
  );
  return at < 0 ? "" : info.path.slice(at + marker.length);
}

export function isTrue(value: string | null): boolean {
  return value !== null && value !== "false" && value !== "0";
}

function splitUrl(url: string): { path: string; query: URLSearchParams } {
  const mark = url.indexOf("?");
  const raw = mark < 0 ? url : url.slice(0, mark);
  let path: string;
  try {
    path = raw.includes("%") ? decodeURIComponent(raw) : raw;
  } catch {
    path = raw;
  }
  return { path, query: new URLSearchParams(mark < 0 ? "" : url.slice(mark + 1)) };
}

/** A watch or list of one object is authorised by its name. */
function nameInSelector(selector: string | null): string {
  if (selector === null) return "";
  try {
    const { requirements } = parseFieldSelector(selector);
    return (
      requirements.find(({ field, operator }) => field === "metadata.name" && operator === "=")
        ?.value ?? ""
    );
  } catch {
    return "";
  }
}

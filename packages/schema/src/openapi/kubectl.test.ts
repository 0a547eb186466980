import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import type { JsonObject } from "@wherry/machinery";
import { builtinResources } from "../builtin-resources.ts";
import { aggregatedDiscovery, coreVersions, groupList, resourceList } from "../discovery.ts";
import { createResourceRegistry } from "../registry.ts";
import { openApiV2Json, openApiV2Protobuf, openApiV2ProtobufTypes } from "./openapi-bytes.ts";
import { buildOpenApiV3, openApiV3Index } from "./openapi-v3.ts";

/** Real clients read the documents from a server that answers nothing else. */
const registry = createResourceRegistry(builtinResources());
const run = promisify(execFile);
let server: Server;
let address = "";
let home = "";

before(async () => {
  home = mkdtempSync(join(tmpdir(), "wherry-kubectl-"));
  server = createServer((request, response) => {
    answer(request, response).catch((error: unknown) => response.destroy(error as Error));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

after(async () => {
  await new Promise((resolve) => {
    server.close(resolve);
    server.closeAllConnections();
  });
  rmSync(home, { recursive: true, force: true });
});

const clients = kubectls();
if (clients.length === 0)
  test("kubectl reads the documents", { skip: "no kubectl on this machine" });

for (const kubectl of clients) {
  test(`${kubectl} lists the resources`, async () => {
    const text = await call(kubectl, ["api-resources", "--no-headers"]);
    assert.match(text, /^deployments +deploy +apps\/v1 +true +Deployment$/m);
    assert.match(text, /^nodes +no +v1 +false +Node$/m);
  });

  test(`${kubectl} explains a field and the whole pod`, async () => {
    const field = await call(kubectl, ["explain", "pod.spec.containers.livenessProbe"]);
    assert.match(field, /failureThreshold\t+<integer>/);
    const tree = await call(kubectl, ["explain", "pod.spec", "--recursive"]);
    assert.match(tree, /terminationGracePeriodSeconds\t+<integer>/);
    assert.match(tree, /containerPort\t+<integer>/);
    const grouped = await call(kubectl, ["explain", "ingress.spec.rules.http.paths"]);
    assert.match(grouped, /pathType\t+<string>/);
  });

  test(`${kubectl} finds the mistake in a manifest`, async () => {
    const manifest = JSON.stringify({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "x" },
      spec: { containers: [{ name: "c", image: "i", foo: 1 }] },
    });
    const failure = await call(
      kubectl,
      ["create", "--dry-run=client", "--validate=true", "-f", "-"],
      manifest,
    ).catch((error: { stderr: string }) => error.stderr);
    // Clients since 1.27 leave validation to the server, which this one does not do: they must still find that it can.
    if (failure.includes("unknown field")) assert.match(failure, /unknown field "foo"/);
    else assert.doesNotMatch(failure, /OpenAPI|openapi|schema/i);
  });
}

async function call(kubectl: string, args: readonly string[], input = ""): Promise<string> {
  const promise = run(
    kubectl,
    [`--server=${address}`, `--cache-dir=${join(home, "cache")}`, ...args],
    {
      env: { HOME: home, PATH: "/usr/bin:/bin" },
      timeout: 60_000,
      maxBuffer: 64 * 1024 * 1024,
    },
  );
  promise.child.stdin?.end(input);
  return (await promise).stdout;
}

/** The one that is installed, and the oldest of those that Google's tools install beside it. */
function kubectls(): readonly string[] {
  const found = ["/usr/local/bin/kubectl", "/usr/bin/kubectl"]
    .filter((path) => existsSync(path))
    .slice(0, 1);
  const folder = "/usr/lib/google-cloud-sdk/bin";
  const names = existsSync(folder) ? readdirSync(folder) : [];
  const [oldest] = names.filter((name) => /^kubectl\.1\.\d+$/.test(name)).sort();
  return oldest === undefined ? found : [...found, join(folder, oldest)];
}

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { pathname } = new URL(request.url ?? "/", address);
  const accept = request.headers.accept ?? "";
  const isAggregated = accept.includes("APIGroupDiscoveryList");
  const [, root, group = "", version = ""] = pathname.split("/");
  const json = (body: JsonObject | undefined, type = "application/json"): void => {
    response.writeHead(body === undefined ? 404 : 200, { "Content-Type": type });
    response.end(JSON.stringify(body ?? {}));
  };
  const aggregatedType = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
  if (pathname === "/api" && isAggregated && accept.includes("v=v2;")) {
    json(aggregatedDiscovery(registry, "core", "v2"), aggregatedType);
  } else if (pathname === "/apis" && isAggregated && accept.includes("v=v2;")) {
    json(aggregatedDiscovery(registry, "groups", "v2"), aggregatedType);
  } else if (pathname === "/api") json(coreVersions(registry, address));
  else if (pathname === "/apis") json(groupList(registry));
  else if (root === "api") json(resourceList(registry, "", group));
  else if (root === "apis") json(resourceList(registry, group, version));
  else if (pathname === "/openapi/v2") {
    const isProtobuf = accept.includes("protobuf");
    const body = isProtobuf ? await openApiV2Protobuf(registry) : await openApiV2Json(registry);
    response.writeHead(200, {
      "Content-Type": isProtobuf ? openApiV2ProtobufTypes.answered : "application/json",
    });
    response.end(body);
  } else if (pathname === "/openapi/v3") json(openApiV3Index(registry));
  else if (pathname.startsWith("/openapi/v3/"))
    json(buildOpenApiV3(registry, pathname.slice("/openapi/v3/".length)));
  else json(undefined);
}

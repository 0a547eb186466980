/** What every kubectl of this machine sends with its typed clients: JSON until 1.30, protobuf from 1.31 on. */
import { deepEqual, equal, match } from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { promisify } from "node:util";
import { createAuthority, issueCertificate } from "@wherry/pki";
import { findKubectls } from "@wherry/testkit";
import { adminToken, ask, startFixture, type Fixture } from "./testing/apiserver-fixture.ts";

/** Older ones know other versions of what they create. */
const kubectls = (await findKubectls()).filter(({ minor }) => minor >= 27);

/** Arguments of `kubectl create`, the object's path behind the version, and what must be in the object. */
const creations: readonly (readonly [args: string, path: string, at: string, value: unknown])[] = [
  [
    "deployment web --image=nginx --replicas=2 --port=80",
    "apis/apps/v1/@/deployments/web",
    "spec.replicas",
    2,
  ],
  ["sa robot", "api/v1/@/serviceaccounts/robot", "kind", "ServiceAccount"],
  ["configmap map --from-literal=a=1", "api/v1/@/configmaps/map", "data.a", "1"],
  ["secret generic hidden --from-literal=a=1", "api/v1/@/secrets/hidden", "data.a", "MQ=="],
  [
    "job once --image=busybox -- sleep 1",
    "apis/batch/v1/@/jobs/once",
    "spec.template.spec.containers.0.command",
    ["sleep", "1"],
  ],
  [
    "cronjob often --image=busybox --schedule=*/5&*&*&*&*",
    "apis/batch/v1/@/cronjobs/often",
    "spec.schedule",
    "*/5 * * * *",
  ],
  [
    "role reader --verb=get,list --resource=pods",
    "apis/rbac.authorization.k8s.io/v1/@/roles/reader",
    "rules.0.verbs",
    ["get", "list"],
  ],
  [
    "rolebinding readers --role=reader --serviceaccount=default:robot",
    "apis/rbac.authorization.k8s.io/v1/@/rolebindings/readers",
    "subjects.0.name",
    "robot",
  ],
  [
    "service clusterip inner --tcp=80:8080",
    "api/v1/@/services/inner",
    "spec.ports.0.targetPort",
    8080,
  ],
  [
    "ingress door --rule=example.org/path*=inner:80",
    "apis/networking.k8s.io/v1/@/ingresses/door",
    "spec.rules.0.http.paths.0.backend.service.port.number",
    80,
  ],
  [
    "quota limit --hard=cpu=1,memory=1Gi",
    "api/v1/@/resourcequotas/limit",
    "spec.hard.memory",
    "1Gi",
  ],
  [
    "pdb budget --selector=app=web --min-available=50%",
    "apis/policy/v1/@/poddisruptionbudgets/budget",
    "spec.minAvailable",
    "50%",
  ],
  [
    "priorityclass @-high --value=1000 --description=high",
    "apis/scheduling.k8s.io/v1/priorityclasses/@-high",
    "value",
    1000,
  ],
];

describe(
  "every kubectl",
  { skip: kubectls.length === 0 ? "no kubectl on this machine" : false },
  () => {
    let fixture: Fixture;
    let folder: string;
    before(async () => {
      folder = await mkdtemp(join(tmpdir(), "wherry-kubectl-"));
      const authority = await createAuthority({ commonName: "ca" });
      const { certPem, keyPem } = await issueCertificate(authority, {
        subject: { commonName: "apiserver" },
        sans: { ips: ["127.0.0.1"] },
        usages: ["server"],
      });
      await writeFile(join(folder, "ca.crt"), authority.certPem);
      // kubectl gives its token to servers with TLS only.
      fixture = await startFixture({
        config: { listen: { host: "127.0.0.1", port: 0, certPem, keyPem } },
      });
    });
    after(async () => {
      await fixture.close();
      await rm(folder, { recursive: true, force: true });
    });

    for (const { path: program, version, minor } of kubectls) {
      const namespace = `v${minor}`;
      const run = async (...args: readonly string[]): Promise<string> => {
        const all = [
          `--server=${fixture.server.endpoint()!.url}`,
          `--certificate-authority=${join(folder, "ca.crt")}`,
          `--token=${adminToken}`,
          `--cache-dir=${join(folder, "cache")}`,
          `--namespace=${namespace}`,
          ...args,
        ];
        const env = { PATH: "/nowhere", HOME: folder, KUBECONFIG: join(folder, "none") };
        return (await promisify(execFile)(program, all, { env, timeout: 60_000 })).stdout;
      };
      const find = async (path: string): Promise<unknown> =>
        (
          await ask(
            fixture.admin,
            "GET",
            `/${path.replace("/@/", `/namespaces/${namespace}/`).replace("@", namespace)}`,
          )
        ).json;

      describe(version, () => {
        before(async () => {
          match(await run("create", "namespace", namespace), /created/);
        });

        for (const [text, path, at, value] of creations) {
          const args = text
            .split(" ")
            .map((arg) => arg.replaceAll("&", " ").replace("@", namespace));
          it(`creates a ${args[0]}`, async () => {
            match(await run("create", "--dry-run=none", ...args), /created/);
            deepEqual(valueAt(await find(path), at), value);
          });
        }

        it("scales, exposes, makes tokens and deletes", async () => {
          match(await run("scale", "deployment/web", "--replicas=5"), /scaled/);
          equal(valueAt(await find("apis/apps/v1/@/deployments/web"), "spec.replicas"), 5);
          match(await run("expose", "deployment/web", "--port=81", "--target-port=80"), /exposed/);
          equal(valueAt(await find("api/v1/@/services/web"), "spec.ports.0.port"), 81);
          match(await run("create", "token", "robot", "--duration=1h"), /^[\w-]+\.[\w-]+\.[\w-]+$/);
          match(
            await run("delete", "deployment/web", "--cascade=foreground", "--wait=false"),
            /deleted/,
          );
          const { metadata } = (await find("apis/apps/v1/@/deployments/web")) as {
            metadata: { finalizers: unknown };
          };
          deepEqual(metadata.finalizers, ["foregroundDeletion"]);
          match(await run("delete", "configmap/map", "secret/hidden", "--now"), /deleted/);
          equal(valueAt(await find("api/v1/@/configmaps/map"), "code"), 404);
        });
      });
    }
  },
);

function valueAt(value: unknown, path: string): unknown {
  return path
    .split(".")
    .reduce<unknown>(
      (current, key) => (current as Record<string, unknown> | null | undefined)?.[key],
      value,
    );
}

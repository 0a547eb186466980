/** The stand-alone command over a remote datastore, driven by a real kubectl. */
import { deepEqual, equal, match } from "node:assert/strict";
import { execFile, spawn, type ChildProcess } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { promisify } from "node:util";
import { createMemoryStore } from "@wherry/datastore/testing";
import { serveStore, type StoreServer } from "@wherry/etcd-api";
import { createAuthority, issueCertificate } from "@wherry/pki";
import { silentLogger } from "@wherry/service-kit";
import { findKubectls } from "@wherry/testkit";

const [kubectl] = await findKubectls();

describe(
  "wherry apiserver with kubectl",
  { skip: kubectl === undefined ? "no kubectl on this machine" : false },
  () => {
    let folder: string;
    let storeServer: StoreServer;
    let child: ChildProcess;
    let url: string;
    const memory = createMemoryStore();

    before(async () => {
      folder = await mkdtemp(join(tmpdir(), "wherry-apiserver-"));
      const authority = await createAuthority({ commonName: "ca" });
      const serving = await issueCertificate(authority, {
        subject: { commonName: "apiserver" },
        sans: { ips: ["127.0.0.1"] },
        usages: ["server"],
      });
      const files = {
        "ca.crt": authority.certPem,
        "tls.crt": serving.certPem,
        "tls.key": serving.keyPem,
        "tokens.csv": 'secret,admin,1,"system:masters"\n',
      };
      for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
      storeServer = await serveStore(memory, { listen: "127.0.0.1:0", log: silentLogger });
      const flags = {
        "etcd-servers": storeServer.endpoint,
        "bind-address": "127.0.0.1",
        "secure-port": "0",
        "tls-cert-file": join(folder, "tls.crt"),
        "tls-private-key-file": join(folder, "tls.key"),
        "client-ca-file": join(folder, "ca.crt"),
        "token-auth-file": join(folder, "tokens.csv"),
        "advertise-address": "192.0.2.1",
      };
      child = spawn(
        process.execPath,
        [
          join(import.meta.dirname, "main.ts"),
          ...Object.entries(flags).map(([name, value]) => `--${name}=${value}`),
        ],
        { stdio: ["ignore", "inherit", "pipe"] },
      );
      url = await new Promise<string>((resolve, reject) => {
        let text = "";
        child.stderr!.on("data", (chunk: Buffer) => {
          text += chunk.toString();
          const ready = /up and running on (\S+)/.exec(text);
          if (ready !== null) resolve(ready[1]!);
        });
        child.once("exit", () => reject(new Error(text)));
      });
    });
    after(async () => {
      const code = new Promise<number | null>((resolve) => child.once("exit", resolve));
      child.kill("SIGTERM");
      equal(await code, 0);
      await storeServer.close();
      await memory.stop();
      await rm(folder, { recursive: true, force: true });
    });

    const run = async (...args: readonly string[]): Promise<string> => {
      const all = [
        `--server=${url}`,
        `--certificate-authority=${join(folder, "ca.crt")}`,
        "--token=secret",
        `--cache-dir=${join(folder, "cache")}`,
        ...args,
      ];
      const env = {
        PATH: process.env["PATH"] ?? "",
        HOME: folder,
        KUBECONFIG: join(folder, "none"),
      };
      return (await promisify(execFile)(kubectl!.path, all, { env, timeout: 60_000 })).stdout;
    };
    const applied = async (manifest: object, ...args: readonly string[]): Promise<string> => {
      const file = join(folder, "manifest.json");
      await writeFile(file, JSON.stringify(manifest));
      return run("apply", "-f", file, ...args);
    };

    it("prints tables from the server", async () => {
      match(await run("get", "ns"), /^NAME\s+STATUS\s+AGE\n[\s\S]*kube-system\s+Active/);
      match(
        await run("get", "svc", "kubernetes"),
        /kubernetes\s+ClusterIP\s+10\.43\.0\.1\s+<none>\s+443\/TCP/,
      );
    });

    it("knows all resources, by short name too, and explains them", async () => {
      const resources = await run("api-resources", "--no-headers", "-o", "name");
      for (const name of ["pods", "deployments.apps", "networkpolicies.networking.k8s.io"])
        match(resources, new RegExp(`^${name}$`, "m"));
      match(await run("get", "po,deploy,cm", "-A"), /kube-root-ca.crt|No resources|NAMESPACE/);
      match(await run("explain", "deployment.spec.replicas"), /KIND:\s+Deployment/);
      match(await run("version"), /Server Version: v1\.36/);
    });

    it("applies, changes, labels, scales, edits the status of and deletes a deployment", async () => {
      const deployment = (image: string): object => ({
        apiVersion: "apps/v1",
        kind: "Deployment",
        metadata: { name: "web", namespace: "default" },
        spec: {
          selector: { matchLabels: { app: "web" } },
          template: {
            metadata: { labels: { app: "web" } },
            spec: { containers: [{ name: "c", image }] },
          },
        },
      });
      equal(await applied(deployment("nginx:1")), "deployment.apps/web created\n");
      equal(await applied(deployment("nginx:1")), "deployment.apps/web unchanged\n");
      equal(await applied(deployment("nginx:2")), "deployment.apps/web configured\n");
      equal(await run("scale", "deployment/web", "--replicas=3"), "deployment.apps/web scaled\n");
      equal(await run("label", "deployment/web", "tier=front"), "deployment.apps/web labeled\n");
      equal(
        await run("set", "image", "deployment/web", "c=nginx:3"),
        "deployment.apps/web image updated\n",
      );
      equal(
        await run(
          "get",
          "deploy",
          "web",
          "-o",
          "jsonpath={.spec.replicas} {.spec.template.spec.containers[0].image} {.metadata.labels.tier}",
        ),
        "3 nginx:3 front",
      );
      match(
        await run("delete", "deployment", "web", "--wait=true"),
        /^deployment\.apps "web" deleted/,
      );
    });

    it("reads what kubectl sends as protobuf", async () => {
      await run("create", "deployment", "typed", "--image=nginx", "--replicas=2", "--port=80");
      equal(
        await run(
          "get",
          "deploy",
          "typed",
          "-o",
          "jsonpath={.spec.replicas} {.spec.template.spec.containers[0].ports[0].containerPort} {.spec.strategy.rollingUpdate.maxSurge}",
        ),
        "2 80 25%",
      );
      await run("create", "quota", "typed", "--hard=cpu=1,memory=1Gi,pods=2");
      equal(
        await run("get", "quota", "typed", "-o", "jsonpath={.spec.hard.memory} {.spec.hard.cpu}"),
        "1Gi 1",
      );
      await run("create", "secret", "generic", "typed", "--from-literal=key=value");
      equal(
        await run("get", "secret", "typed", "-o", "jsonpath={.data.key}"),
        Buffer.from("value").toString("base64"),
      );
      await run("create", "ingress", "typed", "--rule=example.org/path*=svc:8080");
      equal(
        await run(
          "get",
          "ingress",
          "typed",
          "-o",
          "jsonpath={.spec.rules[0].http.paths[0].backend.service.port.number}",
        ),
        "8080",
      );
      await run("create", "cronjob", "typed", "--image=busybox", "--schedule=*/5 * * * *");
      await run("create", "job", "typed", "--from=cronjob/typed");
      equal(
        await run(
          "get",
          "job",
          "typed",
          "-o",
          "jsonpath={.spec.template.spec.containers[0].image}",
        ),
        "busybox",
      );
      await run(
        "create",
        "poddisruptionbudget",
        "typed",
        "--selector=app=typed",
        "--min-available=50%",
      );
      equal(await run("get", "pdb", "typed", "-o", "jsonpath={.spec.minAvailable}"), "50%");
      await run("delete", "deploy,quota,secret,ingress,cronjob,job,pdb", "typed");
    });

    it("creates by command and reads back by selector and by YAML", async () => {
      await run("create", "configmap", "settings", "--from-literal=a=1");
      await run("label", "configmap/settings", "kind=test");
      deepEqual((await run("get", "cm", "-l", "kind=test", "-o", "name")).trim().split("\n"), [
        "configmap/settings",
      ]);
      match(await run("get", "cm", "settings", "-o", "yaml"), /^data:\n {2}a: "1"$/m);
      match(await run("auth", "can-i", "delete", "nodes"), /^yes/);
      await run("wait", "--for=delete", "configmap/nothing", "--timeout=1s");
      await run("delete", "cm", "settings");
    });
  },
);

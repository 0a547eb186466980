/**
 * A program that LISTs every resource of a cluster, one after the other, again and again until it is told to end (SIGTERM); then it prints how many lists and bytes
 * that were. It runs inside a machine: `node list-load.ts KUBECONFIG`.
 */
import { Agent, get } from "node:https";
import { loadKubeconfig } from "@wherry/pki";

export interface ListLoadResult {
  readonly lists: number;
  readonly bytes: number;
}

interface ResourceList {
  readonly resources: readonly { readonly name: string; readonly verbs: readonly string[] }[];
}

interface GroupList {
  readonly groups: readonly { readonly preferredVersion: { readonly groupVersion: string } }[];
}

if (import.meta.main) {
  const { server, caPem, certPem, keyPem } = await loadKubeconfig(process.argv[2] ?? "");
  const agent = new Agent({ keepAlive: true, ca: caPem, cert: certPem, key: keyPem });
  const read = (path: string): Promise<Buffer> =>
    new Promise((resolve, reject) => {
      get(new URL(path, server), { agent, headers: { accept: "application/json" } }, (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("end", () =>
          response.statusCode === 200
            ? resolve(Buffer.concat(chunks))
            : reject(new Error(`${path}: ${response.statusCode}`)),
        );
        response.on("error", reject);
      }).on("error", reject);
    });
  const parsed = async <T>(path: string): Promise<T> =>
    JSON.parse((await read(path)).toString()) as T;
  const groups = (await parsed<GroupList>("/apis")).groups.map(
    (group) => `/apis/${group.preferredVersion.groupVersion}`,
  );
  const paths: string[] = [];
  for (const group of ["/api/v1", ...groups]) {
    const { resources } = await parsed<ResourceList>(group);
    // Component statuses are nothing stored: a server makes them up by asking others.
    paths.push(
      ...resources
        .filter((one) => one.verbs.includes("list") && one.name !== "componentstatuses")
        .map((one) => `${group}/${one.name}`),
    );
  }
  let stopping = false;
  process.once("SIGTERM", () => (stopping = true));
  let lists = 0;
  let bytes = 0;
  console.log(`listing ${paths.length} resources`);
  while (!stopping) {
    for (const path of paths) {
      bytes += (await read(path)).length;
      lists += 1;
      if (stopping) break;
    }
  }
  agent.destroy();
  console.log(JSON.stringify({ lists, bytes } satisfies ListLoadResult));
}

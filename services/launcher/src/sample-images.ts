import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";
import { buildOciImage } from "@wherry/cri-api";

export interface SampleImageOptions {
  /** A static busybox. */
  readonly busybox: string;
  /** "1", "2": shown on the page that the image serves. */
  readonly tag: string;
  readonly architecture: "amd64" | "arm64";
}

/** Serves a page on port 80 that names the pod, and ends at once on SIGTERM, which a server alone as process 1 would ignore. */
const serveScript = (tag: string): string => `#!/bin/sh
echo "busybox:${tag} on $(hostname)" > /www/index.html
trap 'kill "$!"; exit 0' TERM INT
httpd -f -p 80 -h /www &
wait "$!"
`;

/** `wherry.local/busybox:<tag>` as an OCI tar: a shell with all applets, and a web server as its default command. Works offline. */
export async function buildSampleImage(options: SampleImageOptions): Promise<Buffer> {
  const { stdout } = await promisify(execFile)(options.busybox, ["--list"]);
  const applets = stdout.split("\n").filter((name) => name !== "" && name !== "busybox");
  const binary = await readFile(options.busybox);
  return await buildOciImage({
    reference: `wherry.local/busybox:${options.tag}`,
    platform: { architecture: options.architecture },
    config: { cmd: ["/bin/serve"], env: ["PATH=/bin"], workingDir: "/" },
    files: [
      { path: "tmp", directory: true, mode: 0o1777 },
      { path: "root", directory: true, mode: 0o700 },
      { path: "bin/busybox", content: binary, mode: 0o755 },
      ...applets.map((name) => ({ path: `bin/${name}`, linkTo: "busybox" })),
      { path: "bin/serve", content: serveScript(options.tag), mode: 0o755 },
      {
        path: "etc/passwd",
        content: "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
      },
      { path: "etc/group", content: "root:x:0:\nnobody:x:65534:\n" },
      { path: "www/index.html", content: "" },
    ],
  });
}

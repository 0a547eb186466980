import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { arch, tmpdir } from "node:os";
import { join } from "node:path";
import { buildOciImage } from "../oci/image-builder.ts";
import type { TarFile } from "../oci/tar-writer.ts";

/** Applets that tests call by name; busybox itself knows which it is by the name it is called with. */
const APPLETS = [
  "sh",
  "cat",
  "echo",
  "sleep",
  "true",
  "false",
  "ls",
  "md5sum",
  "head",
  "dd",
  "stty",
  "nc",
  "httpd",
  "wget",
  "ps",
  "kill",
  "tty",
  "seq",
  "tr",
  "id",
  "env",
  "touch",
  "mkdir",
  "rm",
  "tail",
  "test",
];
const ARCHITECTURES: Readonly<Record<string, string>> = {
  x64: "amd64",
  arm64: "arm64",
  arm: "arm",
  riscv64: "riscv64",
};
const PACKAGE = "busybox-static";

export function hostArchitecture(): string {
  return ARCHITECTURES[arch()] ?? arch();
}

/** Debian's statically linked busybox: the installed one, or unpacked from its package without installing it. Undefined where neither is possible. */
export function findStaticBusybox(): Buffer | undefined {
  for (const file of ["/bin/busybox", "/usr/bin/busybox"]) {
    if (existsSync(file) && spawnSync("ldd", [file], { encoding: "utf8" }).status !== 0)
      return readFileSync(file);
  }
  const folder = join(tmpdir(), "wherry-busybox");
  const unpacked = join(folder, "root");
  const binary = (): string | undefined =>
    ["bin/busybox", "usr/bin/busybox"]
      .map((path) => join(unpacked, path))
      .find((path) => existsSync(path));
  if (binary() === undefined) {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    spawnSync("apt-get", ["-qq", "download", PACKAGE], { cwd: folder });
    const archive = readdirSync(folder).find((name) => name.endsWith(".deb"));
    if (archive !== undefined) spawnSync("dpkg", ["-x", join(folder, archive), unpacked]);
  }
  const file = binary();
  return file === undefined ? undefined : readFileSync(file);
}

/** An image with busybox, its applets, a few folders and users. */
export function buildBusyboxImage(reference: string, busybox: Buffer): Promise<Buffer> {
  const files: TarFile[] = [
    ...["bin", "etc", "tmp", "var", "root", "www"].map((path): TarFile => ({
      path,
      directory: true,
      mode: path === "tmp" ? 0o1777 : 0o755,
    })),
    { path: "bin/busybox", content: busybox, mode: 0o755 },
    ...APPLETS.map((name): TarFile => ({ path: `bin/${name}`, linkTo: "busybox" })),
    {
      path: "etc/passwd",
      content: "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    },
    { path: "etc/group", content: "root:x:0:\nnobody:x:65534:\n" },
  ];
  return buildOciImage({
    reference,
    files,
    config: { cmd: ["sh"], env: ["PATH=/bin"] },
    platform: { architecture: hostArchitecture() },
  });
}

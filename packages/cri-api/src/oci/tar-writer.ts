import type { Pack } from "tar-stream";

export type TarFile =
  | { readonly path: string; readonly content: Buffer | string; readonly mode?: number }
  | { readonly path: string; readonly linkTo: string }
  | { readonly path: string; readonly directory: true; readonly mode?: number };

/** A tar whose bytes depend on the files and their order only: no times, no owners. */
export async function buildTar(files: readonly TarFile[]): Promise<Buffer> {
  const { default: tar } = await import("tar-stream");
  const pack = tar.pack();
  const collected = collect(pack);
  for (const file of files) {
    const base = { name: file.path, mtime: new Date(0), uid: 0, gid: 0, uname: "", gname: "" };
    if ("linkTo" in file)
      pack.entry({ ...base, type: "symlink", linkname: file.linkTo, mode: 0o777 });
    else if ("directory" in file)
      pack.entry({ ...base, type: "directory", mode: file.mode ?? 0o755 });
    else pack.entry({ ...base, type: "file", mode: file.mode ?? 0o644 }, Buffer.from(file.content));
  }
  pack.finalize();
  return collected;
}

async function collect(pack: Pack): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of pack) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

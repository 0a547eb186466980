import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

/**
 * Runs the first ```ts block of the README in `packageUrl` (the URL of a file in the package's `src`) in a process of its own, from inside the package, so
 * that its imports resolve as a user's would. Checks each `console.log(…); // expected` comment against what was printed. Returns the lines printed.
 */
export async function runReadmeExample(packageUrl: string): Promise<string[]> {
  const folder = fileURLToPath(new URL("..", packageUrl));
  const readme = await readFile(join(folder, "README.md"), "utf8");
  const block = /```ts\n([\s\S]*?)```/.exec(readme)?.[1];
  if (block === undefined) throw new Error(`${folder}README.md has no \`\`\`ts block`);
  // Beside the sources, so that imports resolve, and where neither type check nor lint look.
  await mkdir(join(folder, ".report"), { recursive: true });
  const scratch = await mkdtemp(join(folder, ".report", "readme-"));
  try {
    const file = join(scratch, "example.ts");
    await writeFile(file, block);
    const { stdout } = await promisify(execFile)(process.execPath, [file], {
      cwd: folder,
      timeout: 30_000,
    });
    const printed = stdout.split("\n").slice(0, -1);
    const expected = [...block.matchAll(/console\.log\(.*\);\s*\/\/ (.+)$/gm)].map(
      (match) => match[1],
    );
    for (const [index, text] of expected.entries()) {
      if (printed[index] !== text)
        throw new Error(
          `README example of ${folder}: line ${index + 1} printed "${printed[index]}", the README says "${text}"`,
        );
    }
    return printed;
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

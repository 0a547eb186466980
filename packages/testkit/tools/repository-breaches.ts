export interface WorkspacePackage {
  /** "packages/net". */
  readonly folder: string;
  readonly manifest: {
    readonly name: string;
    readonly exports?: Readonly<Record<string, string>>;
    readonly dependencies?: Readonly<Record<string, string>>;
    readonly devDependencies?: Readonly<Record<string, string>>;
  };
  readonly hasReadme: boolean;
  readonly hasIndex: boolean;
}

export interface SourceFile {
  readonly path: string;
  readonly name: string;
  readonly text: string;
}

export interface Breach {
  readonly path: string;
  readonly rule: string;
}

const MAY_TOUCH_PROCESS =
  /(^|\/)(main|.*-main|.*-worker|worker)\.ts$|^packages\/service-kit\/src\/process\.ts$|^packages\/testkit\/|^services\/[^/]+\/tools\/|^e2e\/|\.test\.ts$|\/testing\/|\/testing\.ts$/;
const IMPORT = /(?:from|import)\s*\(?\s*"(@wherry\/[^"]+)"/g;
const ENTRY = /^@wherry\/[a-z0-9-]+(\/testing)?$/;

/** Pure: what is wrong in these packages and files. */
export function findBreaches(
  packages: readonly WorkspacePackage[],
  files: readonly SourceFile[],
): Breach[] {
  return [
    ...packages.flatMap(packageBreaches),
    ...files.flatMap((file) => fileBreaches(file, packages)),
    ...lockBreaches(files),
  ];
}

function packageBreaches(one: WorkspacePackage): Breach[] {
  const breaches: Breach[] = [];
  const add = (rule: string): number => breaches.push({ path: one.folder, rule });
  if (!one.hasReadme) add("every package has a README.md");
  if (one.folder === "e2e") return breaches;
  const folderName = one.folder.split("/").at(-1);
  if (one.manifest.name !== `@wherry/${folderName}`) add("a package is named for its folder");
  if (!one.hasIndex) add("src/index.ts is the public entry");
  for (const [entry, target] of Object.entries(one.manifest.exports ?? {})) {
    const allowed =
      (entry === "." && target === "./src/index.ts") ||
      (entry === "./testing" && target === "./src/testing.ts");
    if (!allowed) add(`the only entries are "." and "./testing", not "${entry}"`);
  }
  for (const version of Object.values({
    ...one.manifest.dependencies,
    ...one.manifest.devDependencies,
  })) {
    if (version !== "workspace:*" && version !== "catalog:")
      add(`versions stand in the catalog, not in the manifest (${version})`);
  }
  return breaches;
}

function fileBreaches(file: SourceFile, packages: readonly WorkspacePackage[]): Breach[] {
  const breaches: Breach[] = [];
  const add = (rule: string): number => breaches.push({ path: file.path, rule });
  if (file.path.endsWith(".ts") && !file.path.includes("/gen/")) {
    const code = withoutComments(file.text);
    for (const match of code.matchAll(IMPORT)) {
      const rule = arrowBreach(file, match[1] ?? "", packages);
      if (rule !== undefined) add(rule);
    }
    if (
      !MAY_TOUCH_PROCESS.test(file.path) &&
      /(?<![\w.$"'`-])process\.(?!nextTick|ts")\w/.test(code)
    ) {
      add(
        "process is touched in main.ts, worker entry files, service-kit/src/process.ts, the test kit and e2e only",
      );
    }
    if (/\.only\(|\b(?:it|test|describe)\.todo\(/.test(code))
      add("no test is singled out or left to do");
  }
  if (/^(utils?|helpers?|common|misc)\.ts$/.test(file.name))
    add("a file is named for the concept inside");
  if (/[/]work[/](main|shared|\.library)|[/]home[/]\w+[/]/.test(file.text))
    add("no path of a machine");
  return breaches;
}

function arrowBreach(
  file: SourceFile,
  imported: string,
  packages: readonly WorkspacePackage[],
): string | undefined {
  if (!ENTRY.test(imported)) return `deep import of ${imported}`;
  const target = packages.find(
    (one) => imported === one.manifest.name || imported === `${one.manifest.name}/testing`,
  );
  if (target === undefined) return `${imported} is no package of the workspace`;
  const isTest = /\.test\.ts$|\/testing\/|\/testing\.ts$/.test(file.path);
  const from = file.path.split("/").slice(0, 2).join("/");
  if (imported.endsWith("/testing") && !isTest && !/^e2e\/|^packages\/testkit\//.test(file.path))
    return `${imported} is for tests`;
  if (
    target.folder.startsWith("services/") &&
    from !== target.folder &&
    !isTest &&
    from !== "services/launcher" &&
    !file.path.startsWith("e2e/")
  ) {
    return `arrows point down: ${from} may not import ${imported}`;
  }
  return undefined;
}

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/(^|\s)\/\/.*$/gm, "$1");
}

function lockBreaches(files: readonly SourceFile[]): Breach[] {
  return files
    .filter((file) => file.path === "pnpm-lock.yaml" && /https?:\/\//.test(file.text))
    .map((file) => ({ path: file.path, rule: "the lock file names no host" }));
}

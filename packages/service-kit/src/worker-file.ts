/**
 * Where a worker's or child process' entry file lies: beside the caller, as `.ts` in the source tree and as `.js` in the bundle, whose
 * build makes one file of each entry. Call with `import.meta.url` and the name without extension.
 */
export function workerFile(callerUrl: string, name: string): URL {
  return new URL(`./${name}${callerUrl.endsWith(".ts") ? ".ts" : ".js"}`, callerUrl);
}

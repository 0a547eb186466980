import type { Element, ElementChanges } from "./element-ledger.ts";
import { NetworkError } from "./network-error.ts";
import {
  commandFailed,
  runJson,
  type CommandOptions,
  type CommandRunner,
} from "./command-runner.ts";

/** Elements per `add element` command: keeps lines, and so pieces of work, small. */
const ELEMENTS_PER_COMMAND = 256;

export type NftFamily = "ip" | "ip6";

/** A table's name with its family, as nft wants it: "ip wherry". */
export interface NftTable {
  readonly family: NftFamily;
  readonly name: string;
}

export function tableText(table: NftTable): string {
  return `${table.family} ${table.name}`;
}

/** Commands that add (or delete) elements, grouped by set, a bounded number in each. */
export function* elementCommands(
  table: NftTable,
  verb: "add" | "delete",
  elements: Iterable<Element>,
): Generator<string> {
  const pending = new Map<string, string[]>();
  const flush = (set: string, items: readonly string[]): string =>
    `${verb} element ${tableText(table)} ${set} { ${items.join(", ")} }\n`;
  for (const element of elements) {
    const items = pending.get(element.set) ?? [];
    if (items.length === 0) pending.set(element.set, items);
    items.push(
      verb === "add" && element.value !== undefined
        ? `${element.key} : ${element.value}`
        : element.key,
    );
    if (items.length === ELEMENTS_PER_COMMAND) {
      yield flush(element.set, items);
      items.length = 0;
    }
  }
  for (const [set, items] of pending) if (items.length > 0) yield flush(set, items);
}

/** Deletions first: a changed element is both deleted and added within the one transaction. */
export function* changeCommands(table: NftTable, changes: ElementChanges): Generator<string> {
  yield* elementCommands(table, "delete", changes.removed);
  yield* elementCommands(table, "add", changes.added);
}

/** Loads the commands as one transaction: all of them or none. */
export async function applyNft(
  runner: CommandRunner,
  script: string | Iterable<string>,
  options?: Omit<CommandOptions, "input">,
): Promise<void> {
  const command = ["nft", "-f", "-"];
  const result = await runner.run(command, { ...options, input: script });
  if (result.exitCode !== 0) throw commandFailed(command, result);
}

/** The names of the tables of all families. */
export async function listNftTables(
  runner: CommandRunner,
): Promise<{ readonly family: string; readonly name: string }[]> {
  const answer = await runJson(runner, ["nft", "-j", "list", "tables"]);
  const entries = (answer as { nftables?: unknown }).nftables;
  if (!Array.isArray(entries))
    throw new NetworkError("malformed", '"nft -j list tables" printed no list');
  return entries.flatMap((entry: { table?: { family: string; name: string } }) =>
    entry.table === undefined ? [] : [{ family: entry.table.family, name: entry.table.name }],
  );
}

import { randomInt } from "node:crypto";
import {
  createApiClient,
  createKubeconfigTransport,
  resources,
  type ApiClient,
} from "@wherry/client";
import { formatTime, isNotFound, type KubeObject } from "@wherry/machinery";
import { loadKubeconfig } from "@wherry/pki";
import {
  systemClock,
  UsageError,
  type FlagDefinition,
  type FlagValues,
  type ParsedFlags,
  type ProcessContext,
} from "@wherry/service-kit";
import type { Command } from "../command.ts";
import { defaultKubeconfig } from "../default-kubeconfig.ts";
import { listOf, oneOf, textOf } from "../flag-values.ts";

const flags: readonly FlagDefinition[] = [
  {
    name: "kubeconfig",
    kind: "string",
    env: ["KUBECONFIG"],
    defaultText: "/etc/wherry/wherry.yaml",
    help: "Admin kubeconfig.",
  },
  { name: "description", kind: "string", help: "create: what the token is for." },
  {
    name: "groups",
    kind: "list",
    defaultText: "system:bootstrappers:k3s:default-node-token",
    help: "create: groups of those who use it.",
  },
  {
    name: "ttl",
    kind: "string",
    defaultText: "24h",
    help: "create: life time (30m, 24h); 0 = for ever.",
  },
  {
    name: "usages",
    kind: "list",
    defaultText: "signing,authentication",
    help: "create: what it may be used for.",
  },
  { name: "output", short: "o", kind: "string", defaultText: "text", help: "list: text or json." },
];

/** Bootstrap tokens, which let agents join for a while (K3s' `k3s token`). */
export const tokenCommand: Command = {
  usage: "wherry token create [TOKEN] | delete ID… | generate | list",
  flags,
  takes: "words",
  run: runToken,
};

async function runToken(
  context: ProcessContext,
  { values, positionals }: ParsedFlags,
): Promise<void> {
  const [verb, ...words] = positionals;
  const kubeconfig = textOf(values, "kubeconfig") ?? (await defaultKubeconfig(context));
  switch (verb) {
    case "generate":
      context.stdout(`${generate()}\n`);
      return;
    case "create":
      context.stdout(
        `${await withApi(kubeconfig, (api) => create(api, values, words[0] ?? generate()))}\n`,
      );
      return;
    case "list":
      context.stdout(
        await withApi(kubeconfig, (api) =>
          list(api, oneOf(values, "output", ["text", "json"], "text")),
        ),
      );
      return;
    case "delete":
      if (words.length === 0) throw new UsageError("token delete needs the id of a token");
      await withApi(kubeconfig, (api) => remove(api, words));
      context.stdout(words.map((id) => `bootstrap token "${idOf(id)}" deleted\n`).join(""));
      return;
    default:
      throw new UsageError(
        `token: ${verb === undefined ? "say what to do" : `unknown action "${verb}"`}; there are create, delete, generate, list`,
      );
  }
}

async function withApi<T>(kubeconfig: string, work: (api: ApiClient) => Promise<T>): Promise<T> {
  const transport = createKubeconfigTransport(await loadKubeconfig(kubeconfig), {
    userAgent: "wherry-token",
  });
  try {
    return await work(createApiClient(transport));
  } finally {
    transport.close();
  }
}

function generate(): string {
  const word = (length: number): string =>
    Array.from({ length }, () => "abcdefghijklmnopqrstuvwxyz0123456789"[randomInt(36)]).join("");
  return `${word(6)}.${word(16)}`;
}

async function create(api: ApiClient, values: FlagValues, token: string): Promise<string> {
  const [, id, secret] = /^([a-z0-9]{6})\.([a-z0-9]{16})$/.exec(token) ?? [];
  if (id === undefined || secret === undefined)
    throw new UsageError(
      "a bootstrap token must be 6 characters, a dot and 16 characters out of a-z and 0-9",
    );
  const usages =
    listOf(values, "usages").length === 0
      ? ["signing", "authentication"]
      : listOf(values, "usages");
  const wrong = usages.find((usage) => usage !== "signing" && usage !== "authentication");
  if (wrong !== undefined)
    throw new UsageError(`--usages must be signing or authentication, not "${wrong}"`);
  const groups =
    listOf(values, "groups").length === 0
      ? ["system:bootstrappers:k3s:default-node-token"]
      : listOf(values, "groups");
  const ttlMs = durationOf(textOf(values, "ttl") ?? "24h");
  const description = textOf(values, "description");
  const data: Record<string, string> = {
    "token-id": id,
    "token-secret": secret,
    "auth-extra-groups": groups.join(","),
    ...Object.fromEntries(usages.map((usage) => [`usage-bootstrap-${usage}`, "true"])),
    ...(description === undefined ? {} : { description }),
    ...(ttlMs === 0 ? {} : { expiration: formatTime(systemClock.now() + ttlMs) }),
  };
  const secretObject = {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name: `bootstrap-token-${id}`, namespace: "kube-system" },
    type: "bootstrap.kubernetes.io/token",
    data: Object.fromEntries(
      Object.entries(data).map(([key, value]) => [key, Buffer.from(value).toString("base64")]),
    ),
  };
  await api.create(resources.secrets, secretObject);
  return token;
}

type TokenSecret = KubeObject & { readonly data?: Readonly<Record<string, string>> };

async function list(api: ApiClient, output: "text" | "json"): Promise<string> {
  const { items } = await api.list<TokenSecret>(resources.secrets, {
    namespace: "kube-system",
    fieldSelector: "type=bootstrap.kubernetes.io/token",
  });
  const tokens = items.map((secret) => {
    const value = (key: string): string =>
      Buffer.from(secret.data?.[key] ?? "", "base64").toString();
    return {
      token: `${value("token-id")}.${value("token-secret")}`,
      expires: value("expiration"),
      usages: ["signing", "authentication"].filter(
        (usage) => value(`usage-bootstrap-${usage}`) === "true",
      ),
      groups: value("auth-extra-groups")
        .split(",")
        .filter((group) => group !== ""),
      description: value("description"),
    };
  });
  if (output === "json") return `${JSON.stringify(tokens, null, 2)}\n`;
  const rows = [
    ["TOKEN", "EXPIRES", "USAGES", "DESCRIPTION"],
    ...tokens.map((one) => [
      one.token,
      one.expires || "<never>",
      one.usages.join(","),
      one.description || "<none>",
    ]),
  ];
  const widths = [0, 1, 2].map((column) =>
    Math.max(...rows.map((row) => row[column]?.length ?? 0)),
  );
  return `${rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n")}\n`;
}

async function remove(api: ApiClient, words: readonly string[]): Promise<void> {
  for (const word of words) {
    try {
      await api.delete(resources.secrets, `bootstrap-token-${idOf(word)}`, "kube-system");
    } catch (error) {
      if (isNotFound(error))
        throw new Error(`there is no bootstrap token "${idOf(word)}"`, { cause: error });
      throw error;
    }
  }
}

function idOf(word: string): string {
  return word.split(".")[0] ?? word;
}

function durationOf(text: string): number {
  if (text === "0") return 0;
  const [, count, unit] = /^(\d+)(s|m|h|d)$/.exec(text) ?? [];
  if (count === undefined)
    throw new UsageError(`--ttl must be a duration such as 30m or 24h, or 0, not "${text}"`);
  return (
    Number(count) *
    { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }[unit as "s" | "m" | "h" | "d"]
  );
}

import { goQuote } from "./go-format.ts";
import { scanLabelSelector, type LabelToken, type LabelTokenKind } from "./label-selector-lexer.ts";
import { MachineryError } from "./machinery-error.ts";
import type { LabelSelector } from "./meta.ts";
import { labelValueErrors, qualifiedNameErrors } from "./names.ts";

export type LabelOperator = "=" | "==" | "!=" | "in" | "notin" | "exists" | "!" | "gt" | "lt";

export interface LabelRequirement {
  readonly key: string;
  readonly operator: LabelOperator;
  /** Sorted, without duplicates. */
  readonly values: readonly string[];
}

export type Labels = Readonly<Record<string, string>>;

export interface LabelMatcher {
  readonly requirements: readonly LabelRequirement[];
  /** True when nothing is required. */
  readonly empty: boolean;
  matches(labels: Labels | undefined): boolean;
  /** Canonical text, requirements sorted by key; parses back to an equal matcher. */
  toString(): string;
}

/** Matches every object. */
export const everyLabel: LabelMatcher = matcherOf([]);

/** Matches no object: upstream's meaning of an absent `LabelSelector`. */
export const noLabel: LabelMatcher = {
  requirements: [],
  empty: false,
  matches: () => false,
  toString: () => "",
};

/** Parses the `labelSelector` query parameter. Errors carry upstream's texts (code `badValue`). */
export function parseLabelSelector(text: string): LabelMatcher {
  return matcherOf(parseRequirements(scanLabelSelector(text)));
}

/** From the selector in an object. Absent selects nothing, empty selects everything, as upstream. */
export function labelSelectorFrom(selector: LabelSelector | undefined | null): LabelMatcher {
  if (selector === undefined || selector === null) return noLabel;
  const requirements: LabelRequirement[] = [];
  for (const [key, value] of Object.entries(selector.matchLabels ?? {})) {
    requirements.push(requirement(key, "=", [value]));
  }
  for (const expression of selector.matchExpressions ?? []) {
    const operator = expressionOperators.get(expression.operator);
    if (operator === undefined) {
      throw new MachineryError(
        "badValue",
        `${goQuote(expression.operator)} is not a valid label selector operator`,
      );
    }
    requirements.push(requirement(expression.key, operator, expression.values ?? []));
  }
  return matcherOf(requirements);
}

/** From a plain map (Service and ReplicationController selectors, node selectors): all labels must be equal. */
export function labelSelectorFromMap(labels: Labels): LabelMatcher {
  return matcherOf(
    Object.entries(labels).map(([key, value]) => ({ key, operator: "=", values: [value] })),
  );
}

/** Checks one requirement as upstream's NewRequirement does and brings its values into order. */
export function requirement(
  key: string,
  operator: LabelOperator,
  values: readonly string[],
): LabelRequirement {
  checkKey(key, "key");
  if ((operator === "in" || operator === "notin") && values.length === 0) {
    throw bad(`values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty`);
  }
  if ((operator === "=" || operator === "==" || operator === "!=") && values.length !== 1) {
    throw bad(
      `values: Invalid value: ${JSON.stringify(values)}: exact-match compatibility requires one single value`,
    );
  }
  if ((operator === "exists" || operator === "!") && values.length !== 0) {
    throw bad(
      `values: Invalid value: ${JSON.stringify(values)}: values set must be empty for exists and does not exist`,
    );
  }
  if (operator === "gt" || operator === "lt") {
    if (values.length !== 1) {
      throw bad(
        `values: Invalid value: ${JSON.stringify(values)}: for 'Gt', 'Lt' operators, exactly one value is required`,
      );
    }
    values.forEach((value, index) => {
      if (toInteger(value) === undefined) {
        throw bad(
          `values[${index}]: Invalid value: ${goQuote(value)}: for 'Gt', 'Lt' operators, the value must be an integer`,
        );
      }
    });
  }
  values.forEach((value, index) => {
    const errors = labelValueErrors(value);
    if (errors.length > 0)
      throw bad(`values[${index}][${key}]: Invalid value: ${goQuote(value)}: ${errors.join("; ")}`);
  });
  return { key, operator, values: [...new Set(values)].sort() };
}

const expressionOperators = new Map<string, LabelOperator>([
  ["In", "in"],
  ["NotIn", "notin"],
  ["Exists", "exists"],
  ["DoesNotExist", "!"],
]);

function matcherOf(unsorted: readonly LabelRequirement[]): LabelMatcher {
  const requirements = unsorted.toSorted((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
  return {
    requirements,
    empty: requirements.length === 0,
    matches: (labels) => requirements.every((one) => meets(one, labels ?? {})),
    toString: () => requirements.map((one) => formatRequirement(one)).join(","),
  };
}

function meets({ key, operator, values }: LabelRequirement, labels: Labels): boolean {
  const value = Object.hasOwn(labels, key) ? labels[key] : undefined;
  switch (operator) {
    case "=":
    case "==":
    case "in":
      return value !== undefined && values.includes(value);
    case "!=":
    case "notin":
      return value === undefined || !values.includes(value);
    case "exists":
      return value !== undefined;
    case "!":
      return value === undefined;
    case "gt":
    case "lt": {
      const actual = value === undefined ? undefined : toInteger(value);
      const bound = toInteger(values[0] ?? "");
      if (actual === undefined || bound === undefined) return false;
      return operator === "gt" ? actual > bound : actual < bound;
    }
  }
}

function formatRequirement({ key, operator, values }: LabelRequirement): string {
  switch (operator) {
    case "exists":
      return key;
    case "!":
      return `!${key}`;
    case "in":
    case "notin":
      return `${key} ${operator} (${values.join(",")})`;
    case "gt":
      return `${key}>${values[0] ?? ""}`;
    case "lt":
      return `${key}<${values[0] ?? ""}`;
    case "=":
    case "==":
    case "!=":
      return `${key}${operator}${values[0] ?? ""}`;
  }
}

const binaryOperators: Readonly<Partial<Record<LabelTokenKind, LabelOperator>>> = {
  in: "in",
  notin: "notin",
  "=": "=",
  "==": "==",
  "!=": "!=",
  ">": "gt",
  "<": "lt",
};

const valueEnds: readonly LabelTokenKind[] = ["end", ","];

function parseRequirements(tokens: readonly LabelToken[]): LabelRequirement[] {
  const requirements: LabelRequirement[] = [];
  let position = 0;

  /** `in` and `notin` are words of their own only where an operator is expected. */
  const peek = (): LabelToken => {
    const token = tokens[position] ?? { kind: "end", text: "" };
    return token.kind === "in" || token.kind === "notin"
      ? { kind: "identifier", text: token.text }
      : token;
  };
  const take = (): LabelToken => {
    const token = peek();
    position += 1;
    return token;
  };

  const parseOne = (): LabelRequirement => {
    let token = take();
    const negated = token.kind === "!";
    if (negated) token = take();
    if (token.kind !== "identifier") throw bad(`found '${token.text}', expected: identifier`);
    const key = token.text;
    checkKey(key, "<nil>");
    if (negated) return requirement(key, "!", []);
    if (valueEnds.includes(peek().kind)) return requirement(key, "exists", []);
    const operatorToken = tokens[position] ?? { kind: "end", text: "" };
    position += 1;
    const operator = binaryOperators[operatorToken.kind];
    if (operator === undefined) {
      throw bad(`found '${operatorToken.text}', expected: in, notin, =, ==, !=, gt, lt`);
    }
    const isSet = operator === "in" || operator === "notin";
    return requirement(key, operator, isSet ? parseSet() : [parseValue()]);
  };

  const parseValue = (): string => {
    if (valueEnds.includes(peek().kind)) return "";
    const token = take();
    if (token.kind !== "identifier") throw bad(`found '${token.text}', expected: identifier`);
    return token.text;
  };

  const parseSet = (): string[] => {
    const open = take();
    if (open.kind !== "(") throw bad(`found '${open.text}' expected: '('`);
    const values: string[] = [];
    let pending = "";
    let first = true;
    for (;;) {
      const token = take();
      if (token.kind === "identifier") {
        if (pending !== "") throw bad(`found '${token.text}', expected: ',' or ')'`);
        pending = token.text;
      } else if (token.kind === ",") {
        values.push(pending);
        pending = "";
      } else if (token.kind === ")") {
        values.push(pending);
        return values;
      } else if (first) {
        throw bad(`found '${token.text}', expected: ',', ')' or identifier`);
      } else if (pending === "") {
        throw bad(`found '${token.text}', expected: ',', or identifier`);
      } else {
        throw bad(`found '${token.text}', expected: ',' or ')'`);
      }
      first = false;
    }
  };

  for (;;) {
    const token = peek();
    if (token.kind === "end") return requirements;
    if (token.kind !== "identifier" && token.kind !== "!") {
      throw bad(`found '${token.text}', expected: !, identifier, or 'end of string'`);
    }
    try {
      requirements.push(parseOne());
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      throw new MachineryError("badValue", `unable to parse requirement: ${text}`, {
        cause: error,
      });
    }
    const separator = take();
    if (separator.kind === "end") return requirements;
    if (separator.kind !== ",") {
      throw bad(`found '${separator.text}', expected: ',' or 'end of string'`);
    }
    const next = peek();
    if (next.kind !== "identifier" && next.kind !== "!") {
      throw bad(`found '${next.text}', expected: identifier after ','`);
    }
  }
}

function checkKey(key: string, path: string): void {
  const errors = qualifiedNameErrors(key);
  if (errors.length > 0) throw bad(`${path}: Invalid value: ${goQuote(key)}: ${errors.join("; ")}`);
}

function toInteger(text: string): bigint | undefined {
  if (!/^[+-]?[0-9]{1,19}$/.test(text)) return undefined;
  const value = BigInt(text.startsWith("+") ? text.slice(1) : text);
  return BigInt.asIntN(64, value) === value ? value : undefined;
}

function bad(message: string): MachineryError {
  return new MachineryError("badValue", message);
}

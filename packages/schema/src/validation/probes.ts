import { numberAt, textAt, treeAt, treesAt, type Tree } from "../tree.ts";
import { isPort, portRange, type Problems } from "./problems.ts";

const handlers = ["exec", "httpGet", "tcpSocket", "grpc", "sleep"];

export function validateProbe(
  problems: Problems,
  probe: Tree,
  path: string,
  kind: "liveness" | "readiness" | "startup",
): void {
  validateHandler(problems, probe, path);
  for (const key of [
    "initialDelaySeconds",
    "timeoutSeconds",
    "periodSeconds",
    "successThreshold",
    "failureThreshold",
  ]) {
    problems.nonNegative(probe, key, path);
  }
  const grace = numberAt(probe, "terminationGracePeriodSeconds");
  if (kind === "readiness") {
    if (grace !== undefined) {
      problems.invalid(
        `${path}.terminationGracePeriodSeconds`,
        grace,
        "must not be set for readinessProbes",
      );
    }
    return;
  }
  problems.positive(`${path}.terminationGracePeriodSeconds`, grace);
  const threshold = numberAt(probe, "successThreshold") ?? 1;
  if (threshold !== 1) problems.invalid(`${path}.successThreshold`, threshold, "must be 1");
}

/** What a probe or a hook does: exactly one thing. */
export function validateHandler(problems: Problems, holder: Tree, path: string): void {
  let count = 0;
  for (const name of handlers) {
    const handler = treeAt(holder, name);
    if (handler === undefined) continue;
    count += 1;
    if (count > 1) {
      problems.forbidden(`${path}.${name}`, "may not specify more than 1 handler type");
      continue;
    }
    validateOneHandler(problems, handler, name, `${path}.${name}`);
  }
  if (count === 0) problems.required(path, "must specify a handler type");
}

function validateOneHandler(problems: Problems, handler: Tree, name: string, path: string): void {
  switch (name) {
    case "exec":
      if (!Array.isArray(handler["command"]) || handler["command"].length === 0)
        problems.required(`${path}.command`);
      break;
    case "httpGet":
      if (textAt(handler, "path") === "") problems.required(`${path}.path`);
      validatePortReference(problems, handler["port"], `${path}.port`);
      problems.oneOf(handler, "scheme", path, ["HTTP", "HTTPS"]);
      for (const [index, header] of treesAt(handler, "httpHeaders").entries()) {
        if (!/^[-A-Za-z0-9]+$/.test(textAt(header, "name"))) {
          problems.invalid(
            `${path}.httpHeaders[${index}].name`,
            textAt(header, "name"),
            "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')",
          );
        }
      }
      break;
    case "tcpSocket":
    case "grpc":
      validatePortReference(problems, handler["port"], `${path}.port`);
      break;
    default:
  }
}

/** A port by number, or by the name of a container's port. */
export function validatePortReference(problems: Problems, port: unknown, field: string): void {
  if (typeof port === "string") {
    for (const text of portNameErrors(port)) problems.invalid(field, port, text);
  } else if (!isPort(Number(port ?? 0))) problems.invalid(field, port ?? 0, portRange);
}

const portNameMax = 15;

export function portNameErrors(name: string): readonly string[] {
  const texts: string[] = [];
  if (name.length > portNameMax) texts.push(`must be no more than ${portNameMax} characters`);
  if (!/^[-a-z0-9]+$/.test(name))
    texts.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)");
  if (!/[a-z]/.test(name)) texts.push("must contain at least one letter (a-z)");
  if (name.includes("--")) texts.push("must not contain consecutive hyphens");
  if (name.startsWith("-") || name.endsWith("-")) texts.push("must not begin or end with a hyphen");
  return texts;
}

import {
  configMapKeyErrors,
  dnsLabelErrors,
  dnsSubdomainErrors,
  qualifiedNameErrors,
} from "@wherry/machinery";
import { booleanAt, numberAt, textAt, treeAt, treesAt, type Tree } from "../tree.ts";
import { isPort, portRange, type Problems } from "./problems.ts";
import { portNameErrors, validateHandler, validateProbe } from "./probes.ts";
import { validateResourceRequirements } from "./resources.ts";
import { validateLocalPath } from "./volumes.ts";

export type ContainerRole = "main" | "init" | "ephemeral";

const protocols = ["TCP", "UDP", "SCTP"];
const notForEphemeral = ["ports", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle"];
const idRange = "must be between 0 and 2147483647, inclusive";

/** All containers of one list. `names` are those taken before; the list's own are added. */
export function validateContainers(
  problems: Problems,
  containers: readonly Tree[],
  role: ContainerRole,
  path: string,
  volumes: ReadonlySet<string>,
  names: Set<string>,
  claims: readonly string[],
): void {
  for (const [index, container] of containers.entries()) {
    const field = `${path}[${index}]`;
    const name = textAt(container, "name");
    validateContainer(problems, container, field, volumes, claims);
    if (name !== "" && names.has(name)) problems.duplicate(`${field}.name`, name);
    names.add(name);
    if (role === "ephemeral") {
      for (const key of notForEphemeral) {
        if (container[key] !== undefined)
          problems.forbidden(`${field}.${key}`, "cannot be set for an Ephemeral Container");
      }
      continue;
    }
    validateLifecycle(problems, container, field);
    validateProbes(problems, container, role, field);
    if (role === "init")
      problems.oneOf(container, "restartPolicy", field, ["Always", "OnFailure", "Never"]);
  }
}

function validateContainer(
  problems: Problems,
  container: Tree,
  path: string,
  volumes: ReadonlySet<string>,
  claims: readonly string[],
): void {
  const name = textAt(container, "name");
  if (name === "") problems.required(`${path}.name`);
  else problems.invalidBy(`${path}.name`, name, dnsLabelErrors(name));
  const image = textAt(container, "image");
  if (image === "") problems.required(`${path}.image`);
  else if (image.trim() !== image)
    problems.invalid(`${path}.image`, image, "must not have leading or trailing whitespace");
  problems.oneOf(container, "terminationMessagePolicy", path, ["File", "FallbackToLogsOnError"]);
  validatePorts(problems, treesAt(container, "ports"), `${path}.ports`);
  validateEnvironment(problems, container, path);
  validateMounts(problems, container, path, volumes);
  problems.oneOf(container, "imagePullPolicy", path, ["Always", "IfNotPresent", "Never"]);
  validateResourceRequirements(problems, container, `${path}.resources`);
  validateClaims(problems, container, path, claims);
  validateSecurityContext(
    problems,
    treeAt(container, "securityContext"),
    `${path}.securityContext`,
  );
}

function validatePorts(problems: Problems, ports: readonly Tree[], path: string): void {
  const names = new Set<string>();
  for (const [index, port] of ports.entries()) {
    const field = `${path}[${index}]`;
    const name = textAt(port, "name");
    if (name !== "") {
      const texts = portNameErrors(name);
      problems.invalidBy(`${field}.name`, name, texts);
      if (texts.length === 0 && names.has(name)) problems.duplicate(`${field}.name`, name);
      names.add(name);
    }
    const containerPort = numberAt(port, "containerPort") ?? 0;
    if (containerPort === 0) problems.required(`${field}.containerPort`);
    else if (!isPort(containerPort))
      problems.invalid(`${field}.containerPort`, containerPort, portRange);
    const hostPort = numberAt(port, "hostPort") ?? 0;
    if (hostPort !== 0 && !isPort(hostPort))
      problems.invalid(`${field}.hostPort`, hostPort, portRange);
    const protocol = textAt(port, "protocol");
    if (protocol === "") problems.required(`${field}.protocol`);
    else problems.oneOf(port, "protocol", field, protocols);
  }
}

const referenceKinds = [
  "fieldRef",
  "resourceFieldRef",
  "configMapKeyRef",
  "secretKeyRef",
  "fileKeyRef",
];
const environmentFields = new Set([
  "metadata.name",
  "metadata.namespace",
  "metadata.uid",
  "spec.nodeName",
  "spec.serviceAccountName",
  "status.hostIP",
  "status.hostIPs",
  "status.podIP",
  "status.podIPs",
]);
const environmentResources = ["cpu", "memory", "ephemeral-storage"].flatMap((name) => [
  `limits.${name}`,
  `requests.${name}`,
]);

function validateEnvironment(problems: Problems, container: Tree, path: string): void {
  for (const [index, variable] of treesAt(container, "env").entries()) {
    const field = `${path}.env[${index}]`;
    const name = textAt(variable, "name");
    if (name === "") problems.required(`${field}.name`);
    else if (!/^[ -<>-~]+$/.test(name)) {
      problems.invalid(
        `${field}.name`,
        name,
        "a valid environment variable name must consist only of printable ASCII characters other than '='",
      );
    }
    const from = treeAt(variable, "valueFrom");
    if (from !== undefined) validateReference(problems, variable, from, `${field}.valueFrom`);
  }
  for (const [index, source] of treesAt(container, "envFrom").entries()) {
    const field = `${path}.envFrom`;
    const given = ["configMapRef", "secretRef"].filter((key) => source[key] !== undefined);
    if (given.length === 0)
      problems.invalid(field, "", "must specify one of: `configMapRef` or `secretRef`");
    if (given.length > 1)
      problems.invalid(field, "", "may not have more than one field specified at a time");
    for (const key of given) {
      if (textAt(source, key, "name") === "") problems.required(`${field}[${index}].${key}.name`);
    }
  }
}

function validateReference(problems: Problems, variable: Tree, from: Tree, path: string): void {
  const given = referenceKinds.filter((kind) => from[kind] !== undefined);
  for (const kind of given)
    validateOneReference(problems, treeAt(from, kind), kind, `${path}.${kind}`);
  if (given.length === 0) {
    problems.invalid(
      path,
      "",
      "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`",
    );
  } else if (textAt(variable, "value") !== "")
    problems.invalid(path, "", "may not be specified when `value` is not empty");
  else if (given.length > 1)
    problems.invalid(path, "", "may not have more than one field specified at a time");
}

function validateOneReference(
  problems: Problems,
  reference: Tree | undefined,
  kind: string,
  path: string,
): void {
  if (kind === "fieldRef") {
    validateFieldPath(problems, textAt(reference, "fieldPath"), path);
  } else if (kind === "resourceFieldRef") {
    const resource = textAt(reference, "resource");
    if (resource === "") problems.required(`${path}.resource`);
    else if (
      !environmentResources.includes(resource) &&
      !/^(limits|requests)\.hugepages-/.test(resource)
    ) {
      problems.notSupported(`${path}.resource`, resource, environmentResources);
    }
  } else if (kind === "configMapKeyRef" || kind === "secretKeyRef") {
    const name = textAt(reference, "name");
    problems.invalidBy(`${path}.name`, name, dnsSubdomainErrors(name));
    const key = textAt(reference, "key");
    if (key === "") problems.required(`${path}.key`);
    else problems.invalidBy(`${path}.key`, key, configMapKeyErrors(key));
  }
}

function validateFieldPath(problems: Problems, fieldPath: string, path: string): void {
  if (fieldPath === "") {
    problems.required(`${path}.fieldPath`);
    return;
  }
  const subscript = /^metadata\.(labels|annotations)\['(.*)'\]$/.exec(fieldPath);
  if (subscript !== null) {
    const key = subscript[2] ?? "";
    const texts = qualifiedNameErrors(subscript[1] === "labels" ? key : key.toLowerCase());
    problems.invalidBy(path, key, texts);
  } else if (!environmentFields.has(fieldPath)) {
    problems.invalid(
      `${path}.fieldPath`,
      fieldPath,
      `error converting fieldPath: field label not supported: ${fieldPath}`,
    );
  }
}

function validateMounts(
  problems: Problems,
  container: Tree,
  path: string,
  volumes: ReadonlySet<string>,
): void {
  const paths = new Set<string>();
  for (const [index, mount] of treesAt(container, "volumeMounts").entries()) {
    const field = `${path}.volumeMounts[${index}]`;
    const name = textAt(mount, "name");
    if (name === "") problems.required(`${field}.name`);
    else if (!volumes.has(name)) problems.notFound(`${field}.name`, name);
    const mountPath = textAt(mount, "mountPath");
    if (mountPath === "") problems.required(`${field}.mountPath`);
    if (paths.has(mountPath)) problems.invalid(`${field}.mountPath`, mountPath, "must be unique");
    paths.add(mountPath);
    const subPath = textAt(mount, "subPath");
    if (subPath !== "") validateLocalPath(problems, subPath, `${field}.subPath`);
    validatePropagation(problems, container, mount, `${path}.volumeMounts.mountPropagation`);
  }
  for (const [index, device] of treesAt(container, "volumeDevices").entries()) {
    const field = `${path}.volumeDevices[${index}]`;
    const name = textAt(device, "name");
    if (name === "") problems.required(`${field}.name`);
    else if (!volumes.has(name)) problems.notFound(`${field}.name`, name);
    if (textAt(device, "devicePath") === "") problems.required(`${field}.devicePath`);
  }
}

function validatePropagation(
  problems: Problems,
  container: Tree,
  mount: Tree,
  field: string,
): void {
  const propagation = textAt(mount, "mountPropagation");
  const supported = ["Bidirectional", "HostToContainer", "None"];
  if (propagation === "") return;
  if (!supported.includes(propagation)) problems.notSupported(field, propagation, supported);
  else if (
    propagation === "Bidirectional" &&
    booleanAt(container, "securityContext", "privileged") !== true
  ) {
    problems.forbidden(
      field,
      "Bidirectional mount propagation is available only to privileged containers",
    );
  }
}

function validateClaims(
  problems: Problems,
  container: Tree,
  path: string,
  claims: readonly string[],
): void {
  const names = new Set<string>();
  for (const [index, claim] of treesAt(container, "resources", "claims").entries()) {
    const field = `${path}.resources.claims[${index}]`;
    const name = textAt(claim, "name");
    if (name === "") problems.required(`${field}.name`);
    else if (names.has(name)) problems.duplicate(field, name);
    names.add(name);
    if (name === "" || claims.includes(name)) continue;
    problems.causes.push({
      reason: "FieldValueNotFound",
      message: `Not found: ${JSON.stringify(name)}: must be one of the names in pod.spec.resourceClaims${claims.length === 0 ? " which is empty" : `: ${claims.join(", ")}`}`,
      field,
    });
  }
}

function validateLifecycle(problems: Problems, container: Tree, path: string): void {
  for (const hook of ["postStart", "preStop"]) {
    const handler = treeAt(container, "lifecycle", hook);
    if (handler !== undefined) validateHandler(problems, handler, `${path}.lifecycle.${hook}`);
  }
}

function validateProbes(
  problems: Problems,
  container: Tree,
  role: ContainerRole,
  path: string,
): void {
  const isSidecar = role === "init" && container["restartPolicy"] === "Always";
  for (const kind of ["liveness", "readiness", "startup"] as const) {
    const probe = treeAt(container, `${kind}Probe`);
    if (probe === undefined) continue;
    if (role === "init" && !isSidecar) {
      problems.forbidden(
        `${path}.${kind}Probe`,
        "may not be set for init containers without restartPolicy=Always",
      );
    } else validateProbe(problems, probe, `${path}.${kind}Probe`, kind);
  }
}

export function validateSecurityContext(
  problems: Problems,
  context: Tree | undefined,
  path: string,
): void {
  if (context === undefined) return;
  const escalation = booleanAt(context, "allowPrivilegeEscalation");
  if (booleanAt(context, "privileged") === true && escalation === false) {
    problems.invalid(
      path,
      goSecurityContext,
      "cannot set `allowPrivilegeEscalation` to false and `privileged` to true",
    );
  }
  for (const key of ["fsGroup", "runAsUser", "runAsGroup"])
    validateId(problems, numberAt(context, key), `${path}.${key}`);
  for (const [index, group] of (Array.isArray(context["supplementalGroups"])
    ? context["supplementalGroups"]
    : []
  ).entries()) {
    validateId(problems, Number(group), `${path}.supplementalGroups[${index}]`);
  }
  const seccomp = treeAt(context, "seccompProfile");
  if (seccomp !== undefined) validateSeccomp(problems, seccomp, `${path}.seccompProfile`);
}

/** Stands where upstream prints the whole context as a Go value. */
const goSecurityContext = {};

function validateSeccomp(problems: Problems, profile: Tree, path: string): void {
  const type = textAt(profile, "type");
  const local = textAt(profile, "localhostProfile");
  if (type === "Localhost") {
    if (local === "")
      problems.required(`${path}.localhostProfile`, "must be set when seccomp type is Localhost");
    else validateLocalPath(problems, local, `${path}.localhostProfile`);
  } else if (local !== "") {
    problems.invalid(
      `${path}.localhostProfile`,
      local,
      "can only be set when seccomp type is Localhost",
    );
  }
  if (type === "") problems.required(`${path}.type`, "type is required when seccompProfile is set");
  else problems.oneOf(profile, "type", path, ["Localhost", "RuntimeDefault", "Unconfined"]);
}

function validateId(problems: Problems, value: number | undefined, field: string): void {
  if (value !== undefined && (value < 0 || value > 2147483647))
    problems.invalid(field, value, idRange);
}

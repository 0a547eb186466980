import {
  ensureTree,
  listAt,
  setIfUnset,
  setIfZero,
  textAt,
  treeAt,
  treesAt,
  type Tree,
} from "../tree.ts";

export function defaultWebhookConfiguration(configuration: Tree): void {
  const isMutating = configuration["kind"] === "MutatingWebhookConfiguration";
  for (const webhook of treesAt(configuration, "webhooks")) {
    setIfUnset(webhook, "failurePolicy", "Fail");
    setIfUnset(webhook, "matchPolicy", "Equivalent");
    setIfUnset(webhook, "namespaceSelector", {});
    setIfUnset(webhook, "objectSelector", {});
    setIfUnset(webhook, "timeoutSeconds", 10);
    if (isMutating) setIfUnset(webhook, "reinvocationPolicy", "Never");
    for (const rule of treesAt(webhook, "rules")) setIfUnset(rule, "scope", "*");
    defaultServicePort(treeAt(webhook, "clientConfig", "service"));
  }
}

export function defaultAdmissionPolicy(policy: Tree): void {
  const spec = ensureTree(policy, "spec");
  setIfUnset(spec, "failurePolicy", "Fail");
  defaultMatchResources(treeAt(spec, "matchConstraints"));
}

export function defaultAdmissionPolicyBinding(binding: Tree): void {
  defaultMatchResources(treeAt(binding, "spec", "matchResources"));
}

function defaultMatchResources(match: Tree | undefined): void {
  if (match === undefined) return;
  setIfUnset(match, "matchPolicy", "Equivalent");
  setIfUnset(match, "namespaceSelector", {});
  setIfUnset(match, "objectSelector", {});
  for (const rule of treesAt(match, "resourceRules")) setIfUnset(rule, "scope", "*");
  for (const rule of treesAt(match, "excludeResourceRules")) setIfUnset(rule, "scope", "*");
}

export function defaultCustomResourceDefinition(definition: Tree): void {
  const spec = ensureTree(definition, "spec");
  const names = ensureTree(spec, "names");
  const kind = textAt(names, "kind");
  setIfZero(names, "singular", kind.toLowerCase());
  if (kind !== "") setIfZero(names, "listKind", `${kind}List`);
  setIfUnset(spec, "conversion", { strategy: "None" });
  defaultServicePort(treeAt(spec, "conversion", "webhook", "clientConfig", "service"));
  const status = ensureTree(definition, "status");
  if (listAt(status, "storedVersions").length === 0) {
    const stored = treesAt(spec, "versions").filter((version) => version["storage"] === true);
    status["storedVersions"] = stored.map((version) => textAt(version, "name"));
  }
}

export function defaultApiService(service: Tree): void {
  defaultServicePort(treeAt(service, "spec", "service"));
}

function defaultServicePort(service: Tree | undefined): void {
  if (service !== undefined) setIfUnset(service, "port", 443);
}

export function defaultFlowSchema(schema: Tree): void {
  setIfZero(ensureTree(schema, "spec"), "matchingPrecedence", 1000);
}

export function defaultPriorityLevel(level: Tree): void {
  const exempt = treeAt(level, "spec", "exempt");
  if (exempt !== undefined) {
    setIfUnset(exempt, "nominalConcurrencyShares", 0);
    setIfUnset(exempt, "lendablePercent", 0);
  }
  const limited = treeAt(level, "spec", "limited");
  if (limited === undefined) return;
  setIfUnset(limited, "nominalConcurrencyShares", 30);
  setIfUnset(limited, "lendablePercent", 0);
  const queuing = treeAt(limited, "limitResponse", "queuing");
  if (queuing === undefined) return;
  setIfZero(queuing, "handSize", 8);
  setIfZero(queuing, "queues", 64);
  setIfZero(queuing, "queueLengthLimit", 50);
}

export function defaultRoleBinding(binding: Tree): void {
  setIfZero(ensureTree(binding, "roleRef"), "apiGroup", "rbac.authorization.k8s.io");
  for (const subject of treesAt(binding, "subjects")) {
    const kind = textAt(subject, "kind");
    if (kind === "User" || kind === "Group")
      setIfZero(subject, "apiGroup", "rbac.authorization.k8s.io");
  }
}

export function defaultPriorityClass(priorityClass: Tree): void {
  setIfUnset(priorityClass, "preemptionPolicy", "PreemptLowerPriority");
}

export function defaultTokenRequest(request: Tree): void {
  setIfUnset(ensureTree(request, "spec"), "expirationSeconds", 3600);
}

export function defaultScale(scale: Tree): void {
  setIfUnset(ensureTree(scale, "spec"), "replicas", 0);
}

export function defaultResourceClaim(claim: Tree): void {
  defaultDeviceRequests(treeAt(claim, "spec"));
}

export function defaultResourceClaimTemplate(template: Tree): void {
  defaultDeviceRequests(treeAt(template, "spec", "spec"));
}

function defaultDeviceRequests(spec: Tree | undefined): void {
  for (const request of treesAt(spec, "devices", "requests")) {
    const exactly = treeAt(request, "exactly");
    for (const choice of [
      ...(exactly === undefined ? [] : [exactly]),
      ...treesAt(request, "firstAvailable"),
    ]) {
      setIfZero(choice, "allocationMode", "ExactCount");
      if (choice["allocationMode"] === "ExactCount") setIfZero(choice, "count", 1);
      for (const toleration of treesAt(choice, "tolerations"))
        setIfZero(toleration, "operator", "Equal");
    }
  }
}

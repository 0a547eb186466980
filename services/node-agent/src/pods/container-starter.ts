import { readFile } from "node:fs/promises";
import type { Image, PodSandboxConfig } from "@wherry/cri-api";
import type { Pod, Secret } from "@wherry/machinery";
import { applyDefaultTag } from "../images/image-reference.ts";
import type { ReadyVolume } from "../volumes/volume-manager.ts";
import { containerConfig } from "./container-config.ts";
import { prepareMounts } from "./container-mounts.ts";
import type { PodAction } from "./decide.ts";
import { ContainerConfigError, containerEnvironment } from "./environment.ts";
import type { Environment } from "./environment.ts";
import { FieldReferenceError } from "./field-reference.ts";
import type { PodFacts } from "./field-reference.ts";
import { runHook } from "./hooks.ts";
import type { HostsFileInputs } from "./hosts-file.ts";
import { newestContainer } from "./observed.ts";
import type { ObservedPod } from "./observed.ts";
import type { PodDeps } from "./pod-deps.ts";
import { podHostname } from "./pod-hostname.ts";
import { findContainer, isHostNetwork, podSpec, podUid } from "./pod-types.ts";
import type { NamedContainer } from "./pod-types.ts";
import { errorText } from "./runtime-error-text.ts";
import { serviceEnvironment } from "./service-links.ts";

export interface StartRequest {
  readonly pod: Pod;
  readonly action: Extract<PodAction, { kind: "startContainer" }>;
  readonly observed: ObservedPod;
  readonly sandbox: PodSandboxConfig;
  readonly volumes: readonly ReadyVolume[];
  readonly facts: PodFacts;
  /** Aborted when the pod is to end: what has not been created yet is not. */
  readonly signal: AbortSignal;
  /** A postStart hook runs in this instance until `hookEnded`. */
  readonly onHook: (containerId: string) => void;
  readonly onHookEnded: (containerId: string) => void;
}

export type StartResult =
  | { readonly kind: "started"; readonly containerId: string }
  | {
      readonly kind: "failed";
      readonly reason: string;
      readonly message: string;
      readonly retryAtMs: number | undefined;
    }
  /** The hook failed: the instance must be ended. */
  | { readonly kind: "hookFailed"; readonly containerId: string; readonly message: string }
  | { readonly kind: "aborted" };

const retryMs = 10_000;

/** Brings one container up: image, configuration, creation, start, postStart hook. Every failure is a result with upstream's reason. */
export async function startContainer(request: StartRequest, deps: PodDeps): Promise<StartResult> {
  const { pod, action, signal } = request;
  const named = findContainer(pod, action.name);
  if (named === undefined) return { kind: "aborted" };
  const record = (type: "Normal" | "Warning", reason: string, message: string): void =>
    deps.events.record(pod, named, type, reason, message);
  const fail = (reason: string, message: string): StartResult => {
    record("Warning", "Failed", `Error: ${message}`);
    return { kind: "failed", reason, message, retryAtMs: deps.clock.now() + retryMs };
  };

  const image = await raceAbort(
    deps.images.ensure(pod, named.spec, await pullSecrets(pod, deps), (type, reason, message) =>
      record(type, reason, message),
    ),
    signal,
  );
  if (image === undefined || signal.aborted) return { kind: "aborted" };
  if (image.kind === "failed") {
    record("Warning", "Failed", `Error: ${image.reason}`);
    return image;
  }

  let built: BuiltContainer;
  try {
    built = await buildContainer(request, named, image.imageRef, deps);
  } catch (error) {
    if (error instanceof ContainerConfigError || error instanceof FieldReferenceError)
      return fail("CreateContainerConfigError", error.message);
    return fail("CreateContainerConfigError", errorText(error));
  }
  if (signal.aborted) return { kind: "aborted" };
  return deps.starts
    .run(() => createAndStart(request, named, built, deps, fail))
    .then((result) => runPostStart(request, named, result, deps));
}

interface BuiltContainer {
  readonly config: ReturnType<typeof containerConfig>;
}

async function buildContainer(
  request: StartRequest,
  named: NamedContainer,
  imageRef: string,
  deps: PodDeps,
): Promise<BuiltContainer> {
  const { pod, action, observed, facts } = request;
  const namespace = pod.metadata.namespace ?? "";
  const environment: Environment = await containerEnvironment(pod, named.spec, {
    configMap: (name) => deps.references.configMap(namespace, name),
    secret: (name) => deps.references.secret(namespace, name),
    services: serviceEnvironment(
      deps.services(),
      namespace,
      podSpec(pod).enableServiceLinks !== false,
    ),
    facts,
  });
  const image = await imageOf(named, imageRef, deps);
  const { mounts, terminationLog } = await prepareMounts({
    pod,
    container: named.spec,
    volumes: request.volumes,
    environment,
    kubeletRoot: deps.config.kubeletRoot,
    mounter: deps.mounter,
    hosts: await hostsInputs(pod, facts, deps),
  });
  const target =
    (named.spec as { readonly targetContainerName?: string }).targetContainerName ?? "";
  return {
    config: containerConfig({
      pod,
      container: named.spec,
      restartCount: action.restartCount,
      imageRef,
      image,
      environment,
      mounts,
      terminationLog,
      memoryCapacityBytes: deps.node.memoryCapacityBytes,
      targetId: target === "" ? undefined : newestContainer(observed, target)?.id,
    }),
  };
}

/** The image's own user matters only when the pod does not say one. */
async function imageOf(
  named: NamedContainer,
  imageRef: string,
  deps: PodDeps,
): Promise<Image | undefined> {
  return (
    (await deps.runtime.imageStatus(imageRef)) ??
    deps.runtime.imageStatus(applyDefaultTag(named.spec.image ?? ""))
  );
}

async function hostsInputs(
  pod: Pod,
  facts: PodFacts,
  deps: PodDeps,
): Promise<HostsFileInputs | undefined> {
  const { hostname, domain } = podHostname(pod, deps.config.clusterDomain);
  if (isHostNetwork(pod))
    return {
      pod,
      podIps: facts.hostIps,
      hostname,
      domain,
      nodeHosts: await readFile("/etc/hosts", "utf8").catch(() => ""),
    };
  return facts.podIps.length === 0
    ? undefined
    : { pod, podIps: facts.podIps, hostname, domain, nodeHosts: undefined };
}

async function createAndStart(
  request: StartRequest,
  named: NamedContainer,
  { config }: BuiltContainer,
  deps: PodDeps,
  fail: (reason: string, message: string) => StartResult,
): Promise<StartResult> {
  const { pod, action, signal } = request;
  if (signal.aborted) return { kind: "aborted" };
  let containerId: string;
  try {
    containerId = await deps.runtime.createContainer(action.sandboxId, config, request.sandbox);
  } catch (error) {
    return fail("CreateContainerError", errorText(error));
  }
  deps.register(containerId, podUid(pod));
  deps.events.record(pod, named, "Normal", "Created", "Container created");
  // Before the start, so that an instance with a hook is never seen as running without it.
  if (named.spec.lifecycle?.postStart !== undefined) request.onHook(containerId);
  try {
    await deps.runtime.startContainer(containerId);
  } catch (error) {
    request.onHookEnded(containerId);
    return fail("RunContainerError", errorText(error));
  }
  deps.events.record(pod, named, "Normal", "Started", "Container started");
  await deps.logs
    .link(pod, named.spec.name, containerId, action.restartCount)
    .catch((error: unknown) => {
      deps.log.warn(
        { err: error, container: named.spec.name },
        "linking a container's log failed; log collectors will miss it",
      );
    });
  return { kind: "started", containerId };
}

async function runPostStart(
  request: StartRequest,
  named: NamedContainer,
  result: StartResult,
  deps: PodDeps,
): Promise<StartResult> {
  const hook = named.spec.lifecycle?.postStart;
  if (result.kind !== "started" || hook === undefined) return result;
  const { containerId } = result;
  try {
    const running = runHook(
      hook,
      { container: named.spec, containerId, podIp: request.facts.podIps[0] ?? "" },
      deps,
      request.signal,
    );
    await raceAbort(running, request.signal);
    return result;
  } catch (error) {
    if (request.signal.aborted) return result;
    deps.log.warn(
      {
        err: error,
        namespace: request.pod.metadata.namespace,
        name: request.pod.metadata.name,
        container: named.spec.name,
      },
      "a postStart hook failed",
    );
    // Its output stays out of the event: it may hold secrets of the one who answered.
    deps.events.record(
      request.pod,
      named,
      "Warning",
      "FailedPostStartHook",
      "PostStartHook failed",
    );
    return { kind: "hookFailed", containerId, message: errorText(error) };
  } finally {
    request.onHookEnded(containerId);
  }
}

async function pullSecrets(pod: Pod, deps: PodDeps): Promise<readonly Secret[]> {
  const found: Secret[] = [];
  const missing: string[] = [];
  for (const { name = "" } of podSpec(pod).imagePullSecrets ?? []) {
    if (name === "") continue;
    const secret = await deps.references
      .secret(pod.metadata.namespace ?? "", name)
      .catch(() => undefined);
    if (secret === undefined) missing.push(name);
    else found.push(secret);
  }
  if (missing.length > 0) {
    deps.events.record(
      pod,
      undefined,
      "Warning",
      "FailedToRetrieveImagePullSecret",
      `Unable to retrieve some image pull secrets (${missing.join(", ")}); attempting to pull the image may not succeed.`,
    );
  }
  return found;
}

/** The promise's value, or undefined once the signal aborts. The work goes on unattended then (a pull serves the next pod). */
export async function raceAbort<T>(work: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  if (signal.aborted) {
    work.catch(() => {}); // Nobody waits for it any more.
    return undefined;
  }
  const aborted = Promise.withResolvers<undefined>();
  const onAbort = (): void => aborted.resolve(undefined);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
    if (signal.aborted) work.catch(() => {});
  }
}

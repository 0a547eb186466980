import type { AuthConfig, ContainerRuntime } from "@wherry/cri-api";
import type { Pod, Secret } from "@wherry/machinery";
import type { Clock } from "@wherry/service-kit";
import { backoffUntil, formatGoDuration, imagePullBackoff, nextBackoff } from "../pods/backoff.ts";
import type { BackoffEntry } from "../pods/backoff.ts";
import { podUid } from "../pods/pod-types.ts";
import type { ContainerSpec } from "../pods/pod-types.ts";
import { errorText, grpcErrorText } from "../pods/runtime-error-text.ts";
import { createSemaphore } from "../pods/semaphore.ts";
import { applyDefaultTag } from "./image-reference.ts";
import { credentialsFor } from "./pull-secrets.ts";

export type ImageFailureReason =
  | "ErrImagePull"
  | "ImagePullBackOff"
  | "ErrImageNeverPull"
  | "InvalidImageName"
  | "ImageInspectError"
  | "RegistryUnavailable";

export type EnsureImageResult =
  | { readonly kind: "present"; readonly imageRef: string }
  | {
      readonly kind: "failed";
      readonly reason: ImageFailureReason;
      readonly message: string;
      readonly retryAtMs: number | undefined;
    };

export type RecordEvent = (type: "Normal" | "Warning", reason: string, message: string) => void;

export interface ImagePuller {
  /** Makes the container's image available by its pull policy; events go to `record`. */
  ensure(
    pod: Pod,
    container: ContainerSpec,
    secrets: readonly Secret[],
    record: RecordEvent,
  ): Promise<EnsureImageResult>;
  /** Forgets the back-off of a pod that is gone. */
  forget(uid: string): void;
}

export interface ImagePullerDeps {
  readonly runtime: Pick<ContainerRuntime, "imageStatus" | "pullImage">;
  readonly clock: Clock;
  /** Told of each image that was pulled or found, for the node's list and for collection. */
  readonly onUsed?: (imageRef: string) => void;
}

interface Failure {
  readonly entry: BackoffEntry;
  readonly text: string;
}

/** How long ErrImagePull is shown before ImagePullBackOff takes its place. */
const noticeMs = 2_000;

export function createImagePuller(deps: ImagePullerDeps, pullsMax: number): ImagePuller {
  const { runtime, clock } = deps;
  const pulls = createSemaphore(pullsMax);
  const failures = new Map<string, Map<string, Failure>>();

  const pull = async (image: string, auths: readonly AuthConfig[]): Promise<string> => {
    let failure: unknown;
    for (const auth of auths.length === 0 ? [undefined] : auths) {
      try {
        return await runtime.pullImage(image, auth);
      } catch (error) {
        failure = error;
      }
    }
    throw failure;
  };

  const pullWithEvents = async (
    pod: Pod,
    image: string,
    secrets: readonly Secret[],
    record: RecordEvent,
  ): Promise<EnsureImageResult> => {
    const uid = podUid(pod);
    const previous = failures.get(uid)?.get(image);
    const held = backoffUntil(
      previous?.entry,
      previous?.entry.updatedAtMs ?? 0,
      clock.now(),
      imagePullBackoff,
    );
    if (previous !== undefined && held !== undefined) {
      const text = `Back-off pulling image "${image}"`;
      record("Normal", "BackOff", text);
      return {
        kind: "failed",
        reason: "ImagePullBackOff",
        message: `${text}: ${previous.text}`,
        retryAtMs: held,
      };
    }
    record("Normal", "Pulling", `Pulling image "${image}"`);
    const askedMs = clock.monotonic();
    let startedMs = askedMs;
    try {
      const auths = credentialsFor(image, secrets);
      const imageRef = await pulls.run(() => {
        startedMs = clock.monotonic();
        return pull(image, auths);
      });
      const endedMs = clock.monotonic();
      const size = (await runtime.imageStatus(image))?.size ?? 0;
      record(
        "Normal",
        "Pulled",
        `Successfully pulled image "${image}" in ${formatGoDuration(Math.round(endedMs - startedMs))} (${formatGoDuration(Math.round(endedMs - askedMs))} including waiting). Image size: ${size} bytes.`,
      );
      failures.get(uid)?.delete(image);
      deps.onUsed?.(imageRef);
      return { kind: "present", imageRef };
    } catch (error) {
      const detail = grpcErrorText(error);
      record("Warning", "Failed", `Failed to pull image "${image}": ${detail}`);
      const now = clock.now();
      const plain = errorText(error);
      const unavailable = plain.startsWith("RegistryUnavailable");
      const reason = unavailable ? "RegistryUnavailable" : "ErrImagePull";
      const message = unavailable
        ? `image pull failed for ${image} because the registry is unavailable${plain.slice("RegistryUnavailable".length)}`
        : detail;
      const byImage = failures.get(uid) ?? new Map<string, Failure>();
      byImage.set(image, {
        entry: nextBackoff(previous?.entry, now, now, imagePullBackoff),
        text: `${reason}: ${message}`,
      });
      failures.set(uid, byImage);
      return { kind: "failed", reason, message, retryAtMs: now + noticeMs };
    }
  };

  return {
    async ensure(pod, container, secrets, record) {
      const asked = container.image ?? "";
      let image: string;
      try {
        image = applyDefaultTag(asked);
      } catch (error) {
        const message = `Failed to apply default image tag "${asked}": ${errorText(error)}`;
        record("Warning", "InspectFailed", message);
        return { kind: "failed", reason: "InvalidImageName", message, retryAtMs: undefined };
      }
      const policy = container.imagePullPolicy ?? "IfNotPresent";
      if (policy === "Always") return pullWithEvents(pod, image, secrets, record);
      let present;
      try {
        present = await runtime.imageStatus(image);
      } catch (error) {
        const message = `Failed to inspect image "${asked}": ${errorText(error)}`;
        record("Warning", "InspectFailed", message);
        return {
          kind: "failed",
          reason: "ImageInspectError",
          message,
          retryAtMs: clock.now() + imagePullBackoff.initialMs,
        };
      }
      if (present !== undefined) {
        record(
          "Normal",
          "Pulled",
          `Container image "${asked}" already present on machine and can be accessed by the pod`,
        );
        deps.onUsed?.(present.id);
        return { kind: "present", imageRef: present.id };
      }
      if (policy === "Never") {
        const message = `Container image "${asked}" is not present with pull policy of Never`;
        record("Warning", "ErrImageNeverPull", message);
        return {
          kind: "failed",
          reason: "ErrImageNeverPull",
          message,
          retryAtMs: clock.now() + imagePullBackoff.initialMs,
        };
      }
      return pullWithEvents(pod, image, secrets, record);
    },
    forget(uid) {
      failures.delete(uid);
    },
  };
}

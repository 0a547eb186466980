import { resources } from "@wherry/client";
import {
  controllerOf,
  isBeingDeleted,
  isNotFound,
  keyOf,
  labelSelectorFrom,
  objectKey,
  parseTime,
  type Container,
  type Job,
  type JobStatus,
  type Pod,
} from "@wherry/machinery";
import {
  createReconciler,
  onAnyChange,
  soonest,
  withType,
  type Controller,
  type ControllerContext,
} from "./controller.ts";
import { createExpectations, GIVE_UP_MS } from "./expectations.ts";
import { isFinished, planJob, type NewPod } from "./job-plan.ts";
import { INDEX, INDEX_FAILURES, INDEX_IGNORED_FAILURES, isTracked, TRACKING } from "./job-pods.ts";
import { followOwnedPods, podIndexes, podsAround, podsOf } from "./owned-pods.ts";
import { createPodControl, slowStart } from "./pod-control.ts";
import { allDone, ignoreGone, sorted } from "./replica-set.ts";

const TYPE = { apiVersion: "batch/v1", kind: "Job", ref: resources.jobs };
const OWN_NAME = "kubernetes.io/job-controller";

export function createJobController(context: ControllerContext): Controller {
  const { api, informers, events, clock } = context;
  const expectations = createExpectations(clock);
  const podControl = createPodControl(context, expectations);
  const jobs = informers.informer<Job>(resources.jobs);
  const pods = informers.informer<Pod>(resources.pods, {
    indexes: { ...podIndexes, countingJob: countingJobOf },
  });
  /** Versions that were written and that the cache may not show yet. */
  const written = new Map<string, string>();

  const reconciler = createReconciler({
    name: "job",
    context,
    async reconcile(key) {
      const job = jobs.store.get(key);
      await allDone(abandoned(key, job).map(release));
      if (job === undefined) {
        expectations.forget(key);
        written.delete(key);
        return undefined;
      }
      if ((job.spec.managedBy ?? OWN_NAME) !== OWN_NAME) return undefined;
      const isCurrent = expectations.satisfied(key);
      if (isBeingDeleted(job)) {
        await allDone(podsOf(pods, job).map(release));
        return undefined;
      }
      if (isFinished(job) !== undefined) {
        await allDone(podsOf(pods, job).map(release));
        return await expire(job);
      }
      // Pods may be newer in the cache than the status that speaks of them; deciding then would count or start twice.
      if (isBehind(key, job)) return undefined;
      if (!isCurrent) return { requeueAfterMs: GIVE_UP_MS };
      const plan = planJob({ job, pods: await claim(job), nowMs: clock.now() });
      await storeStatus(key, job, plan.status);
      await allDone(plan.release.map(release));
      for (const { type, reason, message } of plan.events)
        events.event(withType(job, TYPE.apiVersion, TYPE.kind), type, reason, message);
      await allDone(
        plan.remove.map(async (pod) => {
          await release(pod);
          await podControl.delete(job, TYPE, pod);
        }),
      );
      await slowStart(plan.create.length, async (index) => {
        const next = plan.create[index];
        if (next !== undefined) await createPod(job, next);
      });
      return soonest(plan.requeueAfterMs);
    },
  });

  const claim = async (job: Job): Promise<readonly Pod[]> => {
    const matcher = labelSelectorFrom(job.spec.selector ?? {});
    const owned = [...podsOf(pods, job)];
    for (const pod of podsAround(pods, job)) {
      if (
        controllerOf(pod) !== undefined ||
        job.spec.selector === undefined ||
        isBeingDeleted(pod) ||
        !matcher.matches(pod.metadata.labels ?? {})
      )
        continue;
      await podControl.adopt(job, TYPE, pod);
      if (!isTracked(pod))
        await api.patch(
          resources.pods,
          pod.metadata.name ?? "",
          pod.metadata.namespace,
          "strategic",
          { metadata: { uid: pod.metadata.uid, finalizers: [TRACKING] } },
        );
    }
    return owned;
  };

  /** Pods of a job that is gone, whether or not another has its name: they must not wait for a counter that nobody keeps. */
  const abandoned = (key: string, job: Job | undefined): readonly Pod[] =>
    pods.store.byIndex("countingJob", key).filter((pod) => {
      const owner = controllerOf(pod);
      return owner === undefined ? job === undefined : owner.uid !== job?.metadata.uid;
    });

  const isBehind = (key: string, job: Job): boolean => {
    const version = written.get(key);
    if (version === undefined) return false;
    if (BigInt(job.metadata.resourceVersion ?? "0") < BigInt(version)) return true;
    written.delete(key);
    return false;
  };

  const storeStatus = async (key: string, job: Job, status: JobStatus): Promise<void> => {
    if (JSON.stringify(sorted(status)) === JSON.stringify(sorted(job.status))) return;
    const stored = await api.update(resources.jobs, { ...job, status }, { subresource: "status" });
    written.set(key, stored.metadata.resourceVersion ?? "0");
  };

  /** Lets a pod go that has been counted, or that nobody counts. */
  const release = async (pod: Pod): Promise<void> => {
    if (!isTracked(pod)) return;
    const patch = {
      metadata: { uid: pod.metadata.uid, "$deleteFromPrimitiveList/finalizers": [TRACKING] },
    };
    await api
      .patch(resources.pods, pod.metadata.name ?? "", pod.metadata.namespace, "strategic", patch)
      .catch(ignoreGone);
  };

  const createPod = async (job: Job, { index, failures }: NewPod): Promise<void> => {
    const { template } = job.spec;
    if (index < 0) {
      await podControl.create(job, TYPE, template, { finalizers: [TRACKING] });
      return;
    }
    const name = `${job.metadata.name}-${index}`;
    await podControl.create(job, TYPE, template, {
      namePrefix: `${name}-`,
      labels: { [INDEX]: String(index) },
      annotations: {
        [INDEX]: String(index),
        ...(failures === undefined
          ? {}
          : {
              [INDEX_FAILURES]: String(failures.counted),
              ...(failures.ignored > 0
                ? { [INDEX_IGNORED_FAILURES]: String(failures.ignored) }
                : {}),
            }),
      },
      finalizers: [TRACKING],
      spec: {
        hostname: template.spec.hostname ?? name,
        containers: template.spec.containers.map(withIndex),
        ...(template.spec.initContainers === undefined
          ? {}
          : { initContainers: template.spec.initContainers.map(withIndex) }),
      },
    });
  };

  /** ttlSecondsAfterFinished. */
  const expire = async (job: Job): Promise<{ readonly requeueAfterMs: number } | undefined> => {
    const ttl = job.spec.ttlSecondsAfterFinished;
    const finishedAt = isFinished(job)?.lastTransitionTime;
    if (ttl === undefined || finishedAt === undefined) return undefined;
    const leftMs = parseTime(finishedAt) + ttl * 1_000 - clock.now();
    if (leftMs > 0) return { requeueAfterMs: leftMs };
    try {
      await api.delete(resources.jobs, job.metadata.name ?? "", job.metadata.namespace, {
        propagationPolicy: "Foreground",
        preconditions: { uid: job.metadata.uid ?? "" },
      });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
    return undefined;
  };

  jobs.subscribe(onAnyChange((job) => reconciler.enqueue(objectKey(job))));
  followOwnedPods({
    pods,
    kind: TYPE.kind,
    owners: jobs,
    expectations,
    enqueue: reconciler.enqueue,
    selectorOf: (job) => job.spec.selector,
  });
  pods.subscribe(
    onAnyChange((pod) => {
      if (isTracked(pod)) for (const key of countingJobOf(pod)) reconciler.enqueue(key);
    }),
  );
  return reconciler;
}

/** Key of the job that a pod names as the one to count it, by its owner or, when that has been taken off it, by its label. */
function countingJobOf(pod: Pod): readonly string[] {
  if (!isTracked(pod)) return [];
  const owner = controllerOf(pod);
  const name =
    owner === undefined
      ? pod.metadata.labels?.["batch.kubernetes.io/job-name"]
      : owner.kind === TYPE.kind
        ? owner.name
        : undefined;
  return name === undefined ? [] : [keyOf(pod.metadata.namespace, name)];
}

/** Tells a container which index it has, unless its template says so itself. */
function withIndex(container: Container): Container {
  const name = "JOB_COMPLETION_INDEX";
  if (container.env?.some((one) => one.name === name) === true) return container;
  return {
    ...container,
    env: [
      ...(container.env ?? []),
      { name, valueFrom: { fieldRef: { fieldPath: `metadata.labels['${INDEX}']` } } },
    ],
  };
}

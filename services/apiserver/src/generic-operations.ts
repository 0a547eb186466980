/** `ResourceOperations` for every stored resource: the rules of upstream's generic registry store over strategy and admission. */
import { randomUUID } from "node:crypto";
import {
  fieldInvalid,
  formatTime,
  generateName,
  isAlreadyExists,
  isNotFound,
  newBadRequest,
  newConflict,
  newGenerateNameConflict,
  newInvalid,
  newNotFound,
  type KubeObject,
  type StatusCause,
} from "@wherry/machinery";
import type { Draft, ResourceDefinition } from "@wherry/schema";
import type { Clock } from "@wherry/service-kit";
import type { AdmissionOperation, AdmissionPlugin, AdmissionRequest } from "./chain.ts";
import { decideDeletion, isFinished, type DeletionStep } from "./deletion.ts";
import type { ObjectStore, UpdateOptions } from "./object-store.ts";
import type {
  DeleteOutcome,
  DeleteParameters,
  ResourceOperations,
  UpdateParameters,
  WriteContext,
} from "./resource-operations.ts";

export interface OperationsDeps {
  readonly store: ObjectStore;
  readonly plugins: () => readonly AdmissionPlugin[];
  readonly clock: Clock;
  /** 0 <= x < 1. */
  readonly random: () => number;
}

export interface Admission {
  mutate(request: AdmissionRequest): Promise<void>;
  validate(request: AdmissionRequest): Promise<void>;
}

/** How many generated names are tried before the client is told to try again. */
const generatedNamesMax = 8;

export function createAdmission(plugins: () => readonly AdmissionPlugin[]): Admission {
  return {
    async mutate(request) {
      for (const plugin of plugins()) {
        const running = plugin.mutate?.(request);
        if (running !== undefined) await running;
      }
      if (request.subresource === "" && request.draft !== undefined)
        request.definition.strategy.applyDefaults(request.draft);
    },
    async validate(request) {
      for (const plugin of plugins()) {
        const running = plugin.validate?.(request);
        if (running !== undefined) await running;
      }
    },
  };
}

export function createGenericOperations({
  store,
  plugins,
  clock,
  random,
}: OperationsDeps): ResourceOperations {
  const admission = createAdmission(plugins);

  const admissionRequest = (
    operation: AdmissionOperation,
    definition: ResourceDefinition,
    namespace: string,
    name: string,
    subresource: string,
    draft: Draft | undefined,
    old: KubeObject | undefined,
    context: WriteContext,
  ): AdmissionRequest => ({
    operation,
    definition,
    subresource,
    namespace,
    name,
    user: context.user,
    dryRun: context.dryRun,
    draft,
    old,
  });

  const toServed = (definition: ResourceDefinition, stored: KubeObject): KubeObject =>
    definition.conversion?.fromStorage(stored) ?? stored;
  const toStored = (definition: ResourceDefinition, served: KubeObject): KubeObject =>
    definition.conversion?.toStorage(served) ?? served;
  const writeOptions = (context: WriteContext): { dryRun: boolean; signal?: AbortSignal } => ({
    dryRun: context.dryRun,
    ...(context.signal === undefined ? {} : { signal: context.signal }),
  });

  const refuse = (
    definition: ResourceDefinition,
    name: string,
    causes: readonly StatusCause[],
  ): void => {
    if (causes.length > 0)
      throw newInvalid({ group: definition.group, kind: definition.kind }, name, causes);
  };

  const create: ResourceOperations["create"] = async (definition, namespace, draft, context) => {
    setNamespace(definition, namespace, draft);
    const { strategy } = definition;
    strategy.applyDefaults(draft);
    const metadata = draft.metadata;
    const request = admissionRequest(
      "CREATE",
      definition,
      namespace,
      String(metadata["name"] ?? ""),
      "",
      draft,
      undefined,
      context,
    );
    const admits = context.admission !== false;
    if (admits) await admission.mutate(request);

    const nowMs = clock.now();
    const base = metadata["generateName"];
    const generates = (metadata["name"] ?? "") === "" && typeof base === "string" && base !== "";
    if (generates) metadata["name"] = generateName(base, random);
    for (const field of [
      "deletionTimestamp",
      "deletionGracePeriodSeconds",
      "resourceVersion",
      "selfLink",
      "generation",
      "managedFields",
    ])
      delete metadata[field];
    metadata["uid"] = randomUUID();
    metadata["creationTimestamp"] = formatTime(nowMs);
    strategy.prepareForCreate(draft, { now: nowMs, user: context.user });
    const name = String(metadata["name"] ?? "");
    refuse(definition, name, strategy.validate(draft));
    if (admits) await admission.validate({ ...request, name });

    for (let attempt = 1; ; attempt++) {
      try {
        return toServed(
          definition,
          await store.create(
            definition,
            toStored(definition, draft as KubeObject),
            writeOptions(context),
          ),
        );
      } catch (error) {
        if (!generates || !isAlreadyExists(error)) throw error;
        if (attempt >= generatedNamesMax)
          throw newGenerateNameConflict(definition, String(metadata["name"]), 1);
        metadata["name"] = generateName(base, random);
      }
    }
  };

  /** Everything between the new object as a client wants it and the one that is stored. */
  const prepareUpdate = async (
    definition: ResourceDefinition,
    namespace: string,
    name: string,
    current: KubeObject,
    draft: Draft,
    parameters: UpdateParameters,
    context: WriteContext,
  ): Promise<Draft> => {
    const { strategy } = definition;
    setNamespace(definition, namespace, draft);
    checkName(draft, name);
    const { metadata } = draft;
    const uid = metadata["uid"];
    if (typeof uid === "string" && uid !== "" && uid !== current.metadata.uid) {
      throw newConflict(
        definition,
        name,
        `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${current.metadata.uid ?? ""}`,
      );
    }
    const version = metadata["resourceVersion"];
    if (version === undefined || version === null || version === "" || version === "0") {
      if (!strategy.allowUnconditionalUpdate) {
        refuse(definition, name, [
          fieldInvalid("metadata.resourceVersion", 0, "must be specified for an update"),
        ]);
      }
    } else if (version !== current.metadata.resourceVersion) {
      throw newConflict(definition, name);
    }
    if (parameters.subresource === "") strategy.applyDefaults(draft);
    const request = admissionRequest(
      "UPDATE",
      definition,
      namespace,
      name,
      parameters.subresource,
      draft,
      current,
      context,
    );
    const admits = context.admission !== false;
    if (admits) await admission.mutate(request);

    keepSystemMetadata(draft, current);
    if (parameters.subresource === "status")
      strategy.prepareForStatusUpdate(draft, current, { now: clock.now(), user: context.user });
    else strategy.prepareForUpdate(draft, current, { now: clock.now(), user: context.user });
    refuse(definition, name, strategy.validateUpdate(draft, current));
    if (admits) await admission.validate(request);
    return draft;
  };

  const update: ResourceOperations["update"] = async (
    definition,
    namespace,
    name,
    build,
    parameters,
    context,
  ) => {
    let last: { readonly before: KubeObject; readonly finished: boolean } | undefined;
    try {
      const options: UpdateOptions = {
        ...writeOptions(context),
        ...(parameters.preconditions === undefined
          ? {}
          : { preconditions: parameters.preconditions }),
      };
      const stored = await store.guaranteedUpdate(
        definition,
        namespace,
        name,
        async (_draft, currentStored) => {
          const current = toServed(definition, currentStored);
          const next = await prepareUpdate(
            definition,
            namespace,
            name,
            current,
            await build(current),
            parameters,
            context,
          );
          last = { before: currentStored, finished: isFinished(next) };
          return last.finished ? undefined : (toStored(definition, next) as Draft);
        },
        options,
      );
      if (last?.finished !== true) return { object: toServed(definition, stored), created: false };
      const { uid, resourceVersion } = last.before.metadata;
      const removed = await store.delete(definition, namespace, name, {
        ...writeOptions(context),
        preconditions: {
          ...(uid === undefined ? {} : { uid }),
          ...(resourceVersion === undefined ? {} : { resourceVersion }),
        },
      });
      return { object: toServed(definition, removed), created: false };
    } catch (error) {
      if (!isNotFound(error) || error.status.details?.name !== name || last !== undefined)
        throw error;
      if (
        parameters.allowCreate !== true ||
        !definition.strategy.allowCreateOnUpdate ||
        parameters.subresource !== ""
      )
        throw error;
      const draft = await build(undefined);
      checkName(draft, name);
      const version = draft.metadata["resourceVersion"];
      if (typeof version === "string" && version !== "" && version !== "0")
        throw newNotFound(definition, name);
      return { object: await create(definition, namespace, draft, context), created: true };
    }
  };

  const remove: ResourceOperations["delete"] = async (
    definition,
    namespace,
    name,
    parameters,
    context,
  ): Promise<DeleteOutcome> => {
    const admits = context.admission !== false;
    const decision: { step: DeletionStep } = { step: { kind: "remove" } };
    let marked: KubeObject | undefined;
    const options = writeOptions(context);
    try {
      marked = await store.guaranteedUpdate(
        definition,
        namespace,
        name,
        async (draft, current) => {
          checkDeletePreconditions(definition, current, parameters);
          if (admits) {
            const request = admissionRequest(
              "DELETE",
              definition,
              namespace,
              name,
              "",
              undefined,
              toServed(definition, current),
              context,
            );
            await admission.mutate(request);
            await admission.validate(request);
          }
          if (isNamespace(definition) && beginTermination(draft, parameters, clock.now())) {
            decision.step = { kind: "mark", thenRemove: false };
            return draft;
          }
          if (isNamespace(definition) && namespaceIsHeld(current)) {
            decision.step = { kind: "pending" };
            return undefined;
          }
          decision.step = decideDeletion(definition, draft, parameters, clock.now());
          return decision.step.kind === "mark" ? draft : undefined;
        },
        options,
      );
      const { step } = decision;
      if (step.kind === "pending" || (step.kind === "mark" && !step.thenRemove))
        return { object: toServed(definition, marked), removed: false };
      if (context.dryRun) return { object: toServed(definition, marked), removed: true };
      const { uid } = marked.metadata;
      const removed = await store.delete(definition, namespace, name, {
        ...options,
        preconditions: {
          ...(uid === undefined ? {} : { uid }),
          ...(parameters.preconditions?.resourceVersion === undefined || step.kind === "mark"
            ? {}
            : { resourceVersion: parameters.preconditions.resourceVersion }),
        },
      });
      return { object: toServed(definition, removed), removed: true };
    } catch (error) {
      // Another one (a kubelet) may have been faster after this request had marked the object.
      if (isNotFound(error) && decision.step.kind === "mark" && marked !== undefined)
        return { object: toServed(definition, marked), removed: true };
      throw error;
    }
  };

  return {
    get: async <T extends KubeObject>(
      definition: ResourceDefinition,
      namespace: string,
      name: string,
    ) => toServed(definition, await store.get(definition, namespace, name)) as T,
    create,
    update,
    delete: remove,
  };
}

/** The namespace of an object is that of the request; objects of cluster-scoped resources have none. */
export function setNamespace(
  definition: ResourceDefinition,
  namespace: string,
  { metadata }: Draft,
): void {
  const given = metadata["namespace"] ?? "";
  if (!definition.namespaced) delete metadata["namespace"];
  else if (given === "") metadata["namespace"] = namespace;
  else if (given !== namespace)
    throw newBadRequest(
      "the namespace of the provided object does not match the namespace sent on the request",
    );
}

export function checkName({ metadata }: Draft, name: string): void {
  const given = metadata["name"] ?? "";
  if (given === "")
    throw newBadRequest(
      `the name of the object (${name} based on URL) was undeterminable: name must be provided`,
    );
  if (given !== name)
    throw newBadRequest(
      `the name of the object (${String(given)}) does not match the name on the URL (${name})`,
    );
}

/** What only the server sets survives an update that leaves it out. */
function keepSystemMetadata({ metadata }: Draft, current: KubeObject): void {
  const before = current.metadata;
  for (const field of [
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
  ] as const) {
    const value = metadata[field];
    if ((value === undefined || value === null || value === "") && before[field] !== undefined)
      metadata[field] = before[field];
  }
  delete metadata["managedFields"];
}

function checkDeletePreconditions(
  definition: ResourceDefinition,
  current: KubeObject,
  { preconditions }: DeleteParameters,
): void {
  const { name = "", uid = "", resourceVersion = "" } = current.metadata;
  const kind = { group: definition.group, resource: definition.kind };
  if (preconditions?.uid !== undefined && preconditions.uid !== uid) {
    throw newConflict(
      kind,
      name,
      `the UID in the precondition (${preconditions.uid}) does not match the UID in record (${uid}). The object might have been deleted and then recreated`,
    );
  }
  if (
    preconditions?.resourceVersion !== undefined &&
    preconditions.resourceVersion !== resourceVersion
  ) {
    throw newConflict(
      kind,
      name,
      `the ResourceVersion in the precondition (${preconditions.resourceVersion}) does not match the ResourceVersion in record (${resourceVersion}). The object might have been modified`,
    );
  }
}

function isNamespace({ group, resource }: ResourceDefinition): boolean {
  return group === "" && resource === "namespaces";
}

function namespaceIsHeld(namespace: KubeObject): boolean {
  return (
    (
      (namespace as { readonly spec?: { readonly finalizers?: readonly string[] } }).spec
        ?.finalizers ?? []
    ).length > 0
  );
}

/** The first DELETE of a namespace only starts its termination; the namespace controller empties it. */
function beginTermination(
  draft: Draft,
  { propagationPolicy, orphanDependents }: DeleteParameters,
  nowMs: number,
): boolean {
  if (draft.metadata["deletionTimestamp"] !== undefined) return false;
  draft.metadata["deletionTimestamp"] = formatTime(nowMs);
  const orphan = orphanDependents ?? propagationPolicy === "Orphan";
  const foreground = orphanDependents === undefined && propagationPolicy === "Foreground";
  const before = (draft.metadata["finalizers"] ?? []) as readonly string[];
  const finalizers = [
    ...new Set([
      ...before,
      ...(orphan ? ["orphan"] : []),
      ...(foreground ? ["foregroundDeletion"] : []),
    ]),
  ];
  if (finalizers.length > 0) draft.metadata["finalizers"] = finalizers;
  draft["status"] = {
    ...(draft["status"] as Readonly<Record<string, never>> | undefined),
    phase: "Terminating",
  };
  return true;
}

import {
  formatTime,
  isAlreadyExists,
  isNotFound,
  type Json,
  type KubeObject,
  type UserInfo,
} from "@wherry/machinery";
import type { Draft, ResourceDefinition } from "@wherry/schema";
import type { Clock, Logger, Timer } from "@wherry/service-kit";
import { resourceIds } from "../auth/resource-ids.ts";
import { mastersGroup } from "../auth/well-known-users.ts";
import type { ObjectStore, ResourceId } from "../object-store.ts";
import type { ResourceOperations } from "../resource-operations.ts";
import {
  extensionAuthentication,
  kubernetesEndpoints,
  kubernetesEndpointSlice,
  kubernetesService,
  namespaceObject,
  priorityClassObjects,
  serviceCidrObject,
  systemNamespaces,
  type ClusterObjectOptions,
} from "./cluster-objects.ts";
import { missingRules } from "./missing-rules.ts";

export interface BootstrapDependencies {
  readonly store: ObjectStore;
  readonly operations: Pick<ResourceOperations, "create">;
  /** The definition under which objects of a stored resource are created. Throws for one that is not served. */
  definitionOf(resource: ResourceId): ResourceDefinition;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface Bootstrap {
  /** Creates what is missing of the objects that every cluster has. Resolves when all are there. */
  run(signal: AbortSignal): Promise<void>;
  /** Keeps the service `kubernetes` pointing here until `close`: it is looked at when it changes, never by the clock. */
  watch(): void;
  close(): void;
}

interface Endpoints extends KubeObject {
  readonly subsets?: readonly {
    readonly addresses?: readonly { readonly ip?: string }[];
    readonly ports?: readonly { readonly port?: number }[];
  }[];
}

interface EndpointSlice extends KubeObject {
  readonly endpoints?: readonly { readonly addresses?: readonly string[] }[];
  readonly ports?: readonly { readonly port?: number }[];
}

const identity: UserInfo = { name: "system:apiserver", groups: [mastersGroup] };
/** Objects that are created at a time: they share a commit, and the loop gets its turn in between. */
const batchSize = 16;
/** How long after a failed repair of the endpoints the next one is tried. */
const repairDelayMs = 1000;

/** The objects that upstream's API server makes at start, and the endpoints that it keeps up. */
export function createBootstrap(
  options: ClusterObjectOptions,
  dependencies: BootstrapDependencies,
): Bootstrap {
  const { store, clock, log } = dependencies;
  const ends: (() => void)[] = [];
  const state = { closed: false };
  let repairing = false;
  let again = false;
  let timer: Timer | undefined;

  const ensure = async (
    resource: ResourceId,
    object: KubeObject,
    signal: AbortSignal,
  ): Promise<void> => {
    const { namespace = "", name = "" } = object.metadata;
    if (store.peek(resource, namespace, name) !== undefined) return;
    try {
      await dependencies.operations.create(
        dependencies.definitionOf(resource),
        namespace,
        structuredClone(object) as unknown as Draft,
        {
          user: identity,
          dryRun: false,
          admission: false,
          signal,
        },
      );
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
    }
  };

  const repair = async (): Promise<void> => {
    if (repairing) {
      again = true;
      return;
    }
    repairing = true;
    try {
      do {
        again = false;
        await assertEndpoints(options, store, ensure, "add");
      } while (again && !state.closed);
    } catch (error) {
      if (state.closed) return;
      log.warn({ err: error }, "the endpoints of the service kubernetes could not be repaired");
      timer = clock.setTimer(repairDelayMs, () => void repair());
    } finally {
      repairing = false;
    }
  };

  return {
    async run(signal) {
      await Promise.all(
        systemNamespaces.map((name) =>
          ensure(resourceIds.namespaces, namespaceObject(name), signal),
        ),
      );
      await Promise.all([
        ensure(resourceIds.services, kubernetesService(options), signal),
        ensure(resourceIds.serviceCidrs, serviceCidrObject(options), signal),
        assertExtensionAuthentication(options, store, ensure, signal),
        ...priorityClassObjects.map((object) =>
          ensure(resourceIds.priorityClasses, object, signal),
        ),
      ]);
      await markServiceCidrReady(store, clock);
      await ensureRoles(store, ensure, signal);
      await assertEndpoints(
        options,
        store,
        (resource, object) => ensure(resource, object, signal),
        "replace",
      );
    },
    watch() {
      const look = ({ object }: { readonly object: KubeObject }): void => {
        if (object.metadata.namespace === "default" && object.metadata.name === "kubernetes")
          void repair();
      };
      ends.push(
        store.subscribe(resourceIds.endpoints, look),
        store.subscribe(resourceIds.endpointSlices, look),
        store.subscribe(resourceIds.services, (change) => {
          if (
            change.type !== "deleted" ||
            change.object.metadata.namespace !== "default" ||
            change.object.metadata.name !== "kubernetes"
          )
            return;
          ensure(
            resourceIds.services,
            kubernetesService(options),
            new AbortController().signal,
          ).catch((error: unknown) =>
            log.warn({ err: error }, "the service kubernetes could not be restored"),
          );
        }),
      );
    },
    close() {
      state.closed = true;
      timer?.cancel();
      for (const end of ends.splice(0)) end();
    },
  };
}

type Ensure = (resource: ResourceId, object: KubeObject, signal: AbortSignal) => Promise<void>;

/** `replace`: we are alone until others say otherwise. `add`: other servers' addresses stay. */
async function assertEndpoints(
  { advertiseAddress, advertisePort }: ClusterObjectOptions,
  store: ObjectStore,
  ensure: Ensure,
  mode: "replace" | "add",
): Promise<void> {
  const signal = new AbortController().signal;
  const wanted = (others: readonly string[]): readonly string[] =>
    mode === "replace" ? [advertiseAddress] : [...new Set([...others, advertiseAddress])].sort();
  const endpoints = store.peek<Endpoints>(resourceIds.endpoints, "default", "kubernetes");
  if (endpoints === undefined)
    await ensure(
      resourceIds.endpoints,
      kubernetesEndpoints([advertiseAddress], advertisePort),
      signal,
    );
  else {
    const addresses = (endpoints.subsets ?? []).flatMap((subset) =>
      (subset.addresses ?? []).flatMap(({ ip }) => ip ?? []),
    );
    const port = endpoints.subsets?.[0]?.ports?.[0]?.port;
    await correct(
      store,
      resourceIds.endpoints,
      kubernetesEndpoints(wanted(addresses), advertisePort),
      ["subsets"],
      isRight(addresses, wanted(addresses)) && port === advertisePort,
    );
  }
  const slice = store.peek<EndpointSlice>(resourceIds.endpointSlices, "default", "kubernetes");
  if (slice === undefined)
    await ensure(
      resourceIds.endpointSlices,
      kubernetesEndpointSlice([advertiseAddress], advertisePort),
      signal,
    );
  else {
    const addresses = (slice.endpoints ?? []).flatMap((endpoint) => endpoint.addresses ?? []);
    const right = isRight(addresses, wanted(addresses)) && slice.ports?.[0]?.port === advertisePort;
    await correct(
      store,
      resourceIds.endpointSlices,
      kubernetesEndpointSlice(wanted(addresses), advertisePort),
      ["endpoints", "ports"],
      right,
    );
  }
}

function isRight(addresses: readonly string[], wanted: readonly string[]): boolean {
  return (
    addresses.length === wanted.length && wanted.every((address) => addresses.includes(address))
  );
}

async function correct(
  store: ObjectStore,
  resource: ResourceId,
  wanted: KubeObject,
  fields: readonly string[],
  right: boolean,
): Promise<void> {
  if (right) return;
  try {
    await store.guaranteedUpdate(
      resource,
      wanted.metadata.namespace ?? "",
      wanted.metadata.name ?? "",
      (draft) => {
        for (const field of fields)
          draft[field] = structuredClone(
            (wanted as unknown as Readonly<Record<string, Json>>)[field],
          );
        return draft;
      },
    );
  } catch (error) {
    // It was deleted in the meantime: that is an event of its own.
    if (!isNotFound(error)) throw error;
  }
}

async function assertExtensionAuthentication(
  options: ClusterObjectOptions,
  store: ObjectStore,
  ensure: Ensure,
  signal: AbortSignal,
): Promise<void> {
  const wanted = extensionAuthentication(options) as KubeObject & {
    readonly data: Readonly<Record<string, string>>;
  };
  await ensure(resourceIds.configMaps, wanted, signal);
  const current = store.peek<KubeObject & { readonly data?: Readonly<Record<string, string>> }>(
    resourceIds.configMaps,
    "kube-system",
    wanted.metadata.name ?? "",
  );
  if (
    current === undefined ||
    Object.entries(wanted.data).every(([key, value]) => current.data?.[key] === value)
  )
    return;
  await store.guaranteedUpdate(
    resourceIds.configMaps,
    "kube-system",
    wanted.metadata.name ?? "",
    (draft) => {
      draft["data"] = {
        ...(draft["data"] as Readonly<Record<string, string>> | undefined),
        ...wanted.data,
      };
      return draft;
    },
  );
}

/** Upstream leaves this to a controller; a range that never changes is ready from the beginning. */
async function markServiceCidrReady(store: ObjectStore, clock: Clock): Promise<void> {
  await store.guaranteedUpdate<
    KubeObject & {
      readonly status?: { readonly conditions?: readonly { readonly type?: string }[] };
    }
  >(resourceIds.serviceCidrs, "", "kubernetes", (draft, current) => {
    if (current.status?.conditions?.some((condition) => condition.type === "Ready") === true)
      return undefined;
    draft["status"] = {
      conditions: [
        {
          type: "Ready",
          status: "True",
          lastTransitionTime: formatTime(clock.now()),
          reason: "",
          message: "Kubernetes Service CIDR is ready",
        },
      ],
    };
    return draft;
  });
}

/** Roles come from tables that are read only here. Rules that a stored default role lacks are added, unless it opted out; others stay. */
async function ensureRoles(store: ObjectStore, ensure: Ensure, signal: AbortSignal): Promise<void> {
  const [{ parseRoleTable }, { defaultRolesTable }, { componentRolesTable }] = await Promise.all([
    import("./role-table.ts"),
    import("./default-roles-table.ts"),
    import("./component-roles-table.ts"),
  ]);
  const objects = parseRoleTable(`${defaultRolesTable}${componentRolesTable}`);
  const resourceOf: Readonly<Record<string, ResourceId>> = {
    ClusterRole: resourceIds.clusterRoles,
    ClusterRoleBinding: resourceIds.clusterRoleBindings,
    Role: resourceIds.roles,
    RoleBinding: resourceIds.roleBindings,
  };
  for (let start = 0; start < objects.length; start += batchSize) {
    await Promise.all(
      objects.slice(start, start + batchSize).map(async (object) => {
        const resource = resourceOf[object.kind ?? ""] ?? resourceIds.clusterRoles;
        const current = store.peek(
          resource,
          object.metadata.namespace ?? "",
          object.metadata.name ?? "",
        );
        if (current === undefined) await ensure(resource, object, signal);
        else await addMissingRules(store, resource, current, object);
      }),
    );
  }
}

async function addMissingRules(
  store: ObjectStore,
  resource: ResourceId,
  current: KubeObject,
  wanted: KubeObject,
): Promise<void> {
  const missing = missingRules(current, wanted);
  if (missing.length === 0) return;
  await store.guaranteedUpdate(
    resource,
    current.metadata.namespace ?? "",
    current.metadata.name ?? "",
    (draft, fresh) => {
      draft["rules"] = [
        ...((draft["rules"] as readonly Json[] | null | undefined) ?? []),
        ...(missingRules(fresh, wanted) as unknown as Json[]),
      ];
      return draft;
    },
  );
}

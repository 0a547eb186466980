import type { ApiError, KubeObject, Status, UserInfo } from "@wherry/machinery";
import type { ResourceDefinition } from "@wherry/schema";
import type { ObjectStore, ResourceId } from "../object-store.ts";
import type { ResourceOperations } from "../resource-operations.ts";
import type {
  ObjectSubresource,
  SubresourceHandler,
  SubresourceRequest,
} from "../subresource-handler.ts";

/** For unit tests: asks object handlers as the REST layer would, without HTTP, decoding and admission. */
export interface SubresourceCaller {
  get(path: string): Promise<KubeObject>;
  create(path: string, body: object): Promise<KubeObject | Status>;
  put(path: string, body: object): Promise<KubeObject>;
  refusal(answer: Promise<unknown>): Promise<ApiError>;
}

/** `path` is `resource[.group]/namespace/name/subresource`; empty parts are left empty. */
export function createSubresourceCaller(
  handlers: readonly SubresourceHandler[],
  user: UserInfo = { name: "admin", groups: ["system:masters"] },
): SubresourceCaller {
  const find = (
    path: string,
  ): { readonly handler: ObjectSubresource; readonly request: SubresourceRequest } => {
    const [qualified = "", namespace = "", name = "", subresource = ""] = path.split("/");
    const dot = qualified.indexOf(".");
    const [resource, group] =
      dot < 0 ? [qualified, ""] : [qualified.slice(0, dot), qualified.slice(dot + 1)];
    const handler = handlers.find(
      (one) =>
        one.type === "object" &&
        one.group === group &&
        one.resource === resource &&
        one.subresource === subresource,
    );
    if (handler?.type !== "object") throw new TypeError(`no handler for ${path}`);
    const strategy = { applyDefaults: () => {}, validate: () => [] };
    const definition = { group, resource, strategy } as unknown as ResourceDefinition;
    const info = {
      isResourceRequest: true,
      path: "",
      verb: "",
      apiGroup: group,
      apiVersion: "v1",
      namespace,
      resource,
      subresource,
      name,
      query: new URLSearchParams(),
    };
    return {
      handler,
      request: {
        definition,
        info,
        namespace,
        name,
        user,
        dryRun: false,
        signal: new AbortController().signal,
        warn: () => {},
      },
    };
  };
  return {
    async get(path) {
      const { handler, request } = find(path);
      return handler.get!(request);
    },
    async create(path, body) {
      const { handler, request } = find(path);
      return handler.create!(request, structuredClone({ metadata: {}, ...body }));
    },
    async put(path, body) {
      const { handler, request } = find(path);
      return handler.update!(request, async () => structuredClone({ metadata: {}, ...body }));
    },
    async refusal(answer) {
      try {
        await answer;
      } catch (error) {
        return error as ApiError;
      }
      throw new Error("the request succeeded");
    },
  };
}

/** Operations without strategy and admission, for the same tests. */
export function createBareOperations(store: ObjectStore): ResourceOperations {
  const id = ({ group, resource }: ResourceId): ResourceId => ({ group, resource });
  return {
    get: (definition, namespace, name) => store.get(id(definition), namespace, name),
    create: (definition, namespace, draft) =>
      store.create(id(definition), {
        ...(draft as unknown as KubeObject),
        metadata: { ...draft.metadata, ...(namespace === "" ? {} : { namespace }) },
      }),
    async update(definition, namespace, name, build) {
      const object = await store.guaranteedUpdate(
        id(definition),
        namespace,
        name,
        (_draft, current) => build(current),
      );
      return { object, created: false };
    },
    async delete(definition, namespace, name, { preconditions }) {
      const object = await store.delete(
        id(definition),
        namespace,
        name,
        preconditions === undefined ? {} : { preconditions },
      );
      return { object, removed: true };
    },
  };
}

import type { Status } from "@wherry/machinery";

/** The answer of subresources that create nothing to show (binding, eviction). */
export const created: Status = {
  kind: "Status",
  apiVersion: "v1",
  metadata: {},
  status: "Success",
  code: 201,
};

import type { ProtobufTable } from "@wherry/machinery";

/** The namespace in which containerd's CRI plugin keeps everything. */
export const CRI_NAMESPACE = "k8s.io";

/**
 * The messages of containerd's own services (package containerd.services.*.v1 and containerd.events) that CRI has no substitute for. Names
 * carry the service, because several call theirs `CreateRequest`.
 */
export const NATIVE_TABLE: ProtobufTable = {
  syntax: "proto3",
  int64: "bigint",
  messages: {
    Empty: {},
    Any: { type_url: [1, "string"], value: [2, "bytes"] },
    Descriptor: {
      media_type: [1, "string"],
      digest: [2, "string"],
      size: [3, "int64"],
      annotations: [5, "map<string,string>"],
    },

    ContentInfoRequest: { digest: [1, "string"] },
    ContentInfoResponse: { info: [1, "ContentInfo"] },
    ContentInfo: { digest: [1, "string"], size: [2, "int64"] },
    ContentWriteRequest: {
      action: [1, "ContentWriteAction"],
      ref: [2, "string"],
      total: [3, "int64"],
      expected: [4, "string"],
      offset: [5, "int64"],
      data: [6, "bytes"],
      labels: [7, "map<string,string>"],
    },
    ContentWriteResponse: {
      action: [1, "ContentWriteAction"],
      offset: [4, "int64"],
      total: [5, "int64"],
      digest: [6, "string"],
    },

    Image: { name: [1, "string"], labels: [2, "map<string,string>"], target: [3, "Descriptor"] },
    ImageRequest: { image: [1, "Image"] },
    ImageGetRequest: { name: [1, "string"] },
    ImageResponse: { image: [1, "Image"] },

    LeaseCreateRequest: { id: [1, "string"], labels: [3, "map<string,string>"] },
    LeaseDeleteRequest: { id: [1, "string"], sync: [2, "bool"] },

    EventsSubscribeRequest: { filters: [1, "string", "repeated"] },
    EventsEnvelope: { namespace: [2, "string"], topic: [3, "string"], event: [4, "Any"] },
    TaskStart: { container_id: [1, "string"], pid: [2, "uint32"] },
    TaskExit: {
      container_id: [1, "string"],
      id: [2, "string"],
      pid: [3, "uint32"],
      exit_status: [4, "uint32"],
    },
    TaskOOM: { container_id: [1, "string"] },
    ContainerDelete: { id: [1, "string"] },
  },
  enums: { ContentWriteAction: { STAT: 0, WRITE: 1, COMMIT: 2 } },
};

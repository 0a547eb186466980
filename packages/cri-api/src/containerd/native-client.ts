import { createProtobufCodec, type ProtobufCodec } from "@wherry/machinery";
import type { GrpcChannel } from "./grpc-channel.ts";
import { CRI_NAMESPACE, NATIVE_TABLE } from "./native-messages.ts";

const CALL_TIMEOUT_MS = 60_000;

const METHODS = {
  contentInfo: [
    "containerd.services.content.v1.Content/Info",
    "ContentInfoRequest",
    "ContentInfoResponse",
  ],
  imageGet: ["containerd.services.images.v1.Images/Get", "ImageGetRequest", "ImageResponse"],
  imageCreate: ["containerd.services.images.v1.Images/Create", "ImageRequest", "ImageResponse"],
  imageUpdate: ["containerd.services.images.v1.Images/Update", "ImageRequest", "ImageResponse"],
  leaseCreate: ["containerd.services.leases.v1.Leases/Create", "LeaseCreateRequest", "Empty"],
  leaseDelete: ["containerd.services.leases.v1.Leases/Delete", "LeaseDeleteRequest", "Empty"],
} as const;

export interface ContainerdImage {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly target: { readonly media_type: string; readonly digest: string; readonly size: number };
}

/** containerd's own services, in CRI's namespace. */
export interface NativeClient {
  readonly codec: ProtobufCodec;
  metadata(lease?: string): Readonly<Record<string, string>>;
  call(method: keyof typeof METHODS, request: object, lease?: string): Promise<object>;
}

export function createNativeClient(channel: GrpcChannel): NativeClient {
  const codec = createProtobufCodec(NATIVE_TABLE);
  const metadata = (lease?: string): Readonly<Record<string, string>> => ({
    "containerd-namespace": CRI_NAMESPACE,
    ...(lease === undefined ? {} : { "containerd-lease": lease }),
  });
  return {
    codec,
    metadata,
    async call(method, request, lease) {
      const [path, requestType, responseType] = METHODS[method];
      const response = await channel.unary(`/${path}`, codec.encode(requestType, request), {
        timeoutMs: CALL_TIMEOUT_MS,
        metadata: metadata(lease),
      });
      return codec.decode(responseType, response);
    },
  };
}

import { createProtobufCodec, type ProtobufCodec } from "@wherry/machinery";
import { CRI_TABLE, type CriMessages } from "../gen/cri.js";
import type { GrpcChannel } from "./grpc-channel.ts";

/** Upstream's kubelet waits this long for a runtime's answer. */
const CALL_TIMEOUT_MS = 120_000;

interface RuntimeCalls {
  Version: ["VersionRequest", "VersionResponse"];
  Status: ["StatusRequest", "StatusResponse"];
  RunPodSandbox: ["RunPodSandboxRequest", "RunPodSandboxResponse"];
  StopPodSandbox: ["StopPodSandboxRequest", "StopPodSandboxResponse"];
  RemovePodSandbox: ["RemovePodSandboxRequest", "RemovePodSandboxResponse"];
  PodSandboxStatus: ["PodSandboxStatusRequest", "PodSandboxStatusResponse"];
  ListPodSandbox: ["ListPodSandboxRequest", "ListPodSandboxResponse"];
  CreateContainer: ["CreateContainerRequest", "CreateContainerResponse"];
  StartContainer: ["StartContainerRequest", "StartContainerResponse"];
  StopContainer: ["StopContainerRequest", "StopContainerResponse"];
  RemoveContainer: ["RemoveContainerRequest", "RemoveContainerResponse"];
  ListContainers: ["ListContainersRequest", "ListContainersResponse"];
  ContainerStatus: ["ContainerStatusRequest", "ContainerStatusResponse"];
  UpdateContainerResources: ["UpdateContainerResourcesRequest", "UpdateContainerResourcesResponse"];
  ReopenContainerLog: ["ReopenContainerLogRequest", "ReopenContainerLogResponse"];
  ExecSync: ["ExecSyncRequest", "ExecSyncResponse"];
  Exec: ["ExecRequest", "ExecResponse"];
  Attach: ["AttachRequest", "AttachResponse"];
  PortForward: ["PortForwardRequest", "PortForwardResponse"];
  ListContainerStats: ["ListContainerStatsRequest", "ListContainerStatsResponse"];
}

interface ImageCalls {
  ListImages: ["ListImagesRequest", "ListImagesResponse"];
  ImageStatus: ["ImageStatusRequest", "ImageStatusResponse"];
  PullImage: ["PullImageRequest", "PullImageResponse"];
  RemoveImage: ["RemoveImageRequest", "RemoveImageResponse"];
  ImageFsInfo: ["ImageFsInfoRequest", "ImageFsInfoResponse"];
}

/** The unary calls of CRI v1 with typed messages. `timeoutMs` 0 waits for ever. */
export interface CriClient {
  runtime<Name extends keyof RuntimeCalls>(
    name: Name,
    request: CriMessages[RuntimeCalls[Name][0]],
    timeoutMs?: number,
  ): Promise<CriMessages[RuntimeCalls[Name][1]]>;
  image<Name extends keyof ImageCalls>(
    name: Name,
    request: CriMessages[ImageCalls[Name][0]],
    timeoutMs?: number,
  ): Promise<CriMessages[ImageCalls[Name][1]]>;
}

export function createCriClient(channel: GrpcChannel): CriClient {
  let codec: ProtobufCodec | undefined;

  const call = async (
    service: string,
    name: string,
    request: object,
    timeoutMs: number,
  ): Promise<object> => {
    codec ??= createProtobufCodec(CRI_TABLE);
    const response = await channel.unary(
      `/runtime.v1.${service}/${name}`,
      codec.encode(`${name}Request`, request),
      { timeoutMs },
    );
    return codec.decode(`${name}Response`, response);
  };

  return {
    runtime: async (name, request, timeoutMs = CALL_TIMEOUT_MS) =>
      (await call("RuntimeService", name, request, timeoutMs)) as never,
    image: async (name, request, timeoutMs = CALL_TIMEOUT_MS) =>
      (await call("ImageService", name, request, timeoutMs)) as never,
  };
}

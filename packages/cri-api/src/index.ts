export type * from "./runtime.ts";
export { RuntimeError } from "./runtime.ts";
export { createContainerdRuntime } from "./containerd/runtime.ts";
export type { ContainerdRuntimeOptions } from "./containerd/runtime.ts";
export { buildOciImage, buildOciIndex } from "./oci/image-builder.ts";
export type {
  OciImage,
  OciImageConfig,
  OciPlatform,
  OciPlatformImage,
} from "./oci/image-builder.ts";
export type { TarFile } from "./oci/tar-writer.ts";
export { normalizeReference } from "./oci/image-spec.ts";
export { PAUSE_IMAGE_REFERENCE, createPauseImage } from "./pause/image.ts";
export { formatRemoteCommandStatus, parseRemoteCommandStatus } from "./remote-command-status.ts";
export type { RemoteCommandOutcome } from "./remote-command-status.ts";
export { SpdyConnection, SpdyStream } from "./spdy/connection.ts";
export type { SpdyConnectionOptions } from "./spdy/connection.ts";
export {
  PORT_FORWARD_PROTOCOL,
  REMOTE_COMMAND_PROTOCOLS,
  SPDY_UPGRADE,
  acceptSpdy,
  dialSpdy,
  offeredProtocols,
  wantsSpdy,
} from "./spdy/handshake.ts";
export {
  EXIT_CODE_ANNOTATION,
  RUN_MS_ANNOTATION,
  createSimulatedRuntime,
} from "./simulated/runtime.ts";
export type { SimulatedContainer, SimulatedRuntimeOptions } from "./simulated/runtime.ts";
export type { OutputLine, SimulatedProcess } from "./simulated/script.ts";

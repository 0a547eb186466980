import { buildOciIndex } from "../oci/image-builder.ts";
import { PAUSE_ARCHITECTURES, createPauseProgram } from "./program.ts";

/** What containerd's `sandbox_image` names. */
export const PAUSE_IMAGE_REFERENCE = "wherry.local/pause:1";

/** Upstream's pause runs as this user too. */
const PAUSE_USER = "65535:65535";

/** The sandbox image for every supported architecture as an OCI tar, about 30 KB, always the same bytes. */
export function createPauseImage(): Promise<Buffer> {
  return buildOciIndex(
    PAUSE_IMAGE_REFERENCE,
    PAUSE_ARCHITECTURES.map((architecture) => ({
      platform: { architecture, ...(architecture === "arm" ? { variant: "v7" } : {}) },
      files: [{ path: "pause", content: createPauseProgram(architecture), mode: 0o755 }],
      config: { entrypoint: ["/pause"], workingDir: "/", user: PAUSE_USER },
    })),
  );
}

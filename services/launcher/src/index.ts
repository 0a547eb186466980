export { ensureClusterFiles } from "./cluster-files.ts";
export type { ClusterFiles, ClusterFilesOptions } from "./cluster-files.ts";
export { buildSampleImage } from "./sample-images.ts";
export type { SampleImageOptions } from "./sample-images.ts";
export { VERSION } from "./version.ts";

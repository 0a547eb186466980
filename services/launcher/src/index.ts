export { buildSampleImage } from "./sample-images.ts";
export type { SampleImageOptions } from "./sample-images.ts";
export { VERSION } from "./version.ts";

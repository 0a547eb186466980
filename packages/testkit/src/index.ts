export { extractDebianPackage } from "./debian-extract.ts";
export { findKubectls } from "./kubectls.ts";
export type { Kubectl } from "./kubectls.ts";
export { createLab } from "./machines.ts";
export type { Lab, Machine } from "./machines.ts";
export { runReadmeExample } from "./readme-example.ts";

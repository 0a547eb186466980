export { extractDebianPackage } from "./debian-extract.ts";
export { installedVersions, NODE_PACKAGES, TEST_PACKAGES } from "./debian-packages.ts";
export { installPackages } from "./install-packages.ts";
export type { InstallResult } from "./install-packages.ts";
export { findKubectls } from "./kubectls.ts";
export type { Kubectl } from "./kubectls.ts";
export { createLab } from "./machines.ts";
export type { Lab, Machine } from "./machines.ts";
export { runReadmeExample } from "./readme-example.ts";

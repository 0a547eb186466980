export { controllerManagerConfig } from "./config.ts";
export type { ControllerManagerConfig } from "./config.ts";
export { createControllerManager } from "./controller-manager.ts";
export type { ControllerManagerDeps } from "./controller-manager.ts";
export {
  controllerManagerFlags,
  controllerManagerRunOf,
  runControllerManager,
} from "./run-controller-manager.ts";
export type {
  ControllerManagerRun,
  RunControllerManagerOptions,
} from "./run-controller-manager.ts";

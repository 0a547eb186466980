export { NodeUnreachableError } from "./dialer.ts";
export type { NodeDialer } from "./dialer.ts";

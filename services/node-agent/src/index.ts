export { createNodeAgent } from "./agent.ts";
export type { NodeAgent, NodeAgentDeps } from "./agent.ts";
export { nodeAgentConfig } from "./config.ts";
export type { NodeAgentConfig } from "./config.ts";
export { nodeAgentFlags, nodeAgentRunOf, runNodeAgent } from "./run-node-agent.ts";
export type { NodeAgentRun, RunNodeAgentOptions } from "./run-node-agent.ts";

export { type RuntimeProcess, runtimeDelete, runtimeExec } from "./runtime.ts";
export { connectMonitor, isGone, startMonitor } from "./start.ts";
export type * from "./types.ts";

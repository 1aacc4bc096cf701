export { applyHostSteps } from "./apply.ts";
export { CAPABILITIES } from "./capabilities.ts";
export { listDevices, readDevices } from "./devices.ts";
export { readHostFacts, readSystemInfo } from "./facts.ts";
export { readFileInRoot, resolveInRoot } from "./inroot.ts";
export { isMountPoint } from "./mountpoint.ts";
export { listProcessesWithEnv } from "./processes.ts";
export { runKeel } from "./run.ts";
export type * from "./types.ts";

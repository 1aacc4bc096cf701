export { checkSpec } from "./check.ts";
export { planContainerMount, planMounts } from "./mounts.ts";
export { randomName } from "./names.ts";
export { formatSpec, planHostname, planSpec, planStopSignal } from "./plan.ts";
export type * from "./plan-types.ts";
export { planArgs, planEnv, planWorkdir } from "./process.ts";
export { parseSignal } from "./signals.ts";
export type * from "./types.ts";
export { resolveUser, type UserInput } from "./user.ts";

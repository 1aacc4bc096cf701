export { checkSpec } from "./check.ts";
export { planExec } from "./exec.ts";
export { planContainerMount, planMounts } from "./mounts.ts";
export { randomName } from "./names.ts";
export { formatSpec, planHostname, planSpec, planStopSignal } from "./plan.ts";
export type * from "./plan-types.ts";
export { planArgs } from "./process.ts";
export { parseSignal } from "./signals.ts";
export {
  addContainer,
  findByName,
  findByPrefix,
  findContainer,
  listContainers,
  listImagesInUse,
  listUnsettled,
  migrations,
  removeContainer,
  setCreated,
  setExited,
  setPhase,
  setRunning,
  setStartFailed,
} from "./store.ts";
export type * from "./types.ts";
export { resolveUser, type UserInput } from "./user.ts";
export { planAutoUserns, usernsOf } from "./userns.ts";

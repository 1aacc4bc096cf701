import type * as schedule from "../plan/schedule.ts";
import type { compileFilter, refuseUnknownCalls } from "../seccomp/compile.ts";
import type { Process, Spec } from "../spec/types.ts";
import type { copyUp } from "./copyup.ts";
import type { makeDevices } from "./devices.ts";
import type { runHooks, runPoststop } from "./hooks.ts";
import type { writeIdMaps } from "./idmaps.ts";
import type { refuseUnlocking } from "./locked.ts";
import type * as netdevices from "./netdevices.ts";
import type { psTable } from "./ps.ts";
import type * as resctrl from "./resctrl.ts";
import type { applySchedule, setAffinity, setFirstAffinity } from "./schedule.ts";
import type { openSources } from "./sources.ts";
import type { enterOwnTime } from "./spawn.ts";

/** What few containers ask for, in a module of its own: code that is not loaded costs neither time nor memory. */
export interface Rare {
  readonly compileFilter: typeof compileFilter;
  readonly refuseUnknownCalls: typeof refuseUnknownCalls;
  readonly findNetDevices: typeof netdevices.findNetDevices;
  readonly moveNetDevices: typeof netdevices.moveNetDevices;
  readonly configureNetDevices: typeof netdevices.configureNetDevices;
  readonly findResctrl: typeof resctrl.findResctrl;
  readonly planResctrl: typeof resctrl.planResctrl;
  readonly joinResctrl: typeof resctrl.joinResctrl;
  readonly removeResctrl: typeof resctrl.removeResctrl;
  readonly planSchedule: typeof schedule.planSchedule;
  readonly planExecAffinity: typeof schedule.planExecAffinity;
  readonly applySchedule: typeof applySchedule;
  readonly setAffinity: typeof setAffinity;
  readonly setFirstAffinity: typeof setFirstAffinity;
  readonly copyUp: typeof copyUp;
  readonly enterOwnTime: typeof enterOwnTime;
  readonly openSources: typeof openSources;
  readonly makeDevices: typeof makeDevices;
  readonly refuseUnlocking: typeof refuseUnlocking;
  readonly writeIdMaps: typeof writeIdMaps;
  readonly runHooks: typeof runHooks;
  readonly runPoststop: typeof runPoststop;
  readonly psTable: typeof psTable;
}

/** How the program is to be scheduled, undefined when nothing is asked for. */
export function scheduleOf(process: Process, linux: Spec["linux"]): schedule.SchedulePlan | undefined {
  const asked = process.scheduler || process.ioPriority || (linux && (linux.personality || linux.memoryPolicy));
  return asked ? rare().planSchedule(process, linux) : undefined;
}

declare global {
  var keelRare: Rare | undefined;
}

/** Loads it at the first call (entry/rare.ts). */
export function rare(): Rare {
  if (!globalThis.keelRare) sys.loadModule("rare");
  return globalThis.keelRare as unknown as Rare;
}

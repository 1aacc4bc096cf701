// The module behind run/rare.ts.
import { mountFuse } from "../host/fuse.ts";
import { makeMapped, mountMapped } from "../host/mapped.ts";
import { addUserNamespace } from "../host/userns.ts";
import { planExecAffinity, planSchedule } from "../plan/schedule.ts";
import { copyUp } from "../run/copyup.ts";
import { configureNetDevices, findNetDevices, moveNetDevices } from "../run/netdevices.ts";
import { findResctrl, joinResctrl, planResctrl, removeResctrl } from "../run/resctrl.ts";
import { applySchedule, setAffinity } from "../run/schedule.ts";
import { enterOwnTime } from "../run/spawn.ts";
import { compileFilter, refuseUnknownCalls } from "../seccomp/compile.ts";

globalThis.keelRare = {
  compileFilter,
  refuseUnknownCalls,
  findNetDevices,
  moveNetDevices,
  configureNetDevices,
  findResctrl,
  planResctrl,
  joinResctrl,
  removeResctrl,
  planSchedule,
  planExecAffinity,
  applySchedule,
  setAffinity,
  mountFuse,
  makeMapped,
  mountMapped,
  addUserNamespace,
  copyUp,
  enterOwnTime,
};

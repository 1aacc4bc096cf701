// The module behind run/rare.ts.
import { planExecAffinity, planSchedule } from "../plan/schedule.ts";
import { configureNetDevices, findNetDevices, moveNetDevices } from "../run/netdevices.ts";
import { findResctrl, joinResctrl, planResctrl, removeResctrl } from "../run/resctrl.ts";
import { applySchedule, setAffinity } from "../run/schedule.ts";
import { compileFilter } from "../seccomp/compile.ts";

globalThis.keelRare = {
  compileFilter,
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
};

// The module behind run/rare.ts.
import { planExecAffinity, planSchedule } from "../plan/schedule.ts";
import { copyUp } from "../run/copyup.ts";
import { makeDevices } from "../run/devices.ts";
import { runHooks, runPoststop } from "../run/hooks.ts";
import { writeIdMaps } from "../run/idmaps.ts";
import { refuseUnlocking } from "../run/locked.ts";
import { configureNetDevices, findNetDevices, moveNetDevices } from "../run/netdevices.ts";
import { psTable } from "../run/ps.ts";
import { findResctrl, joinResctrl, planResctrl, removeResctrl } from "../run/resctrl.ts";
import { applySchedule, setAffinity, setFirstAffinity } from "../run/schedule.ts";
import { openSources } from "../run/sources.ts";
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
  setFirstAffinity,
  copyUp,
  enterOwnTime,
  openSources,
  makeDevices,
  refuseUnlocking,
  writeIdMaps,
  runHooks,
  runPoststop,
  psTable,
};

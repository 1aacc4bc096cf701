import type { HostStep } from "@berth/protocol";
import * as c from "../lib/consts.ts";
import { callError, must } from "../lib/errors.ts";
import { type MountOptions, parseMountOptions } from "../lib/mountopts.ts";
import { fitsPage, fitValues, planParameters, planRelative } from "./plan.ts";
import { uncommon } from "./uncommon.ts";

const FSCONFIG_FLAG = 0;
const FSCONFIG_STRING = 1;
const FSCONFIG_CREATE = 6;

type MountStep = Extract<HostStep, { readonly op: "mount" }>;

/** A mount as fstab describes it: options are flags of the mount, propagation, or the file system's own. */
export function mountStep(step: MountStep): void {
  const { source, target, idmap } = step;
  const options = parseMountOptions(step.options);
  const what = `mount ${step.type} at ${target}`;
  if (idmap) uncommon().mountMapped(step, idmap);
  else if (step.type === "fuse-overlayfs") uncommon().mountFuse(target, step.options);
  else if (options.bind || step.type === "bind") bind(source, target, options, `mount ${source} at ${target}`);
  else if (step.type === "overlay") overlay(target, options, what);
  else must(sys.mount(source, target, step.type, options.flags, options.data), what);
  for (let i = 0; i < options.propagation.length; i++) {
    must(sys.mount("", target, "", options.propagation[i] as number, ""), `set the propagation of ${target}`);
  }
}

function bind(source: string, target: string, options: MountOptions, what: string): void {
  const { recursive, attrSet, attrClear, recAttrSet, recAttrClear } = options;
  must(sys.mount(source, target, "", c.MS_BIND | (recursive ? c.MS_REC : 0), ""), what);
  try {
    setAttributes(target, 0, attrSet, attrClear);
    setAttributes(target, c.AT_RECURSIVE, recAttrSet, recAttrClear);
  } catch (error) {
    sys.umount2(target, c.MNT_DETACH);
    throw error;
  }
}

function setAttributes(target: string, flags: number, set: number, clear: number): void {
  if (set === 0 && clear === 0) return;
  must(sys.mountSetattr(c.AT_FDCWD, target, flags, set, clear, 0, -1), `set the options of ${target}`);
}

/** Long chains of layers do not fit in mount(2)'s page. */
function overlay(target: string, options: MountOptions, what: string): void {
  const { flags, data } = options;
  let result: number = -c.EINVAL;
  if (fitsPage(data, sys.strlenUtf8(data))) result = sys.mount("overlay", target, "overlay", flags, data);
  else {
    result = mountByParameters(target, options);
    if (result === -c.EINVAL || result === -c.ENOSYS) result = mountRelative(target, options);
  }
  if (result >= 0) return;
  const hint =
    result === -c.EINVAL ? "the upper directory must not be on overlayfs: put the data root on ext4 or xfs" : undefined;
  throw callError(what, result, hint);
}

function mountByParameters(target: string, options: MountOptions): number {
  const parameters = planParameters(options.data);
  if (!fitValues(parameters)) return -c.EINVAL;
  const fs = sys.fsopen("overlay", 0);
  if (fs < 0) return fs;
  let result = sys.fsconfig(fs, FSCONFIG_STRING, "source", "overlay");
  for (let i = 0; i < parameters.length && result >= 0; i++) {
    const { key, value } = parameters[i] as (typeof parameters)[number];
    result =
      value === undefined ? sys.fsconfig(fs, FSCONFIG_FLAG, key, "") : sys.fsconfig(fs, FSCONFIG_STRING, key, value);
  }
  if (result >= 0) result = sys.fsconfig(fs, FSCONFIG_CREATE, "", "");
  const mount = result >= 0 ? sys.fsmount(fs, 0, options.attrSet) : result;
  sys.close(fs);
  if (mount < 0) return mount;
  result = sys.moveMount(mount, "", c.AT_FDCWD, target, c.MOVE_MOUNT_F_EMPTY_PATH);
  sys.close(mount);
  return result;
}

/** For kernels before 6.8. */
function mountRelative(target: string, options: MountOptions): number {
  const { base, data } = planRelative(options.data);
  const cwd = must(sys.open(".", c.O_PATH | c.O_DIRECTORY, 0), "open the current directory");
  let result = sys.chdir(base);
  if (result >= 0) result = sys.mount("overlay", target, "overlay", options.flags, data);
  must(sys.fchdir(cwd), "return to the current directory");
  sys.close(cwd);
  return result;
}

import { applyWrites } from "../cgroup/apply.ts";
import { attachDeviceProgram } from "../cgroup/bpf.ts";
import { systemd } from "../cgroup/driver.ts";
import { readCgroupLayout } from "../cgroup/layout.ts";
import { type CgroupDir, type CgroupPlan, planCgroup } from "../cgroup/plan.ts";
import type { CgroupWrite } from "../cgroup/resources.ts";
import * as c from "../lib/consts.ts";
import { must, runtimeError } from "../lib/errors.ts";
import { writeAtomically } from "../lib/files.ts";
import { isRootless } from "../lib/userns.ts";
import type { Resources, Spec } from "../spec/types.ts";
import { validateResources } from "../spec/validate.ts";
import { configPath, getRecord, type Record, readSpec, statusOf } from "../state/store.ts";
import { writeSchemata } from "./resctrl.ts";

interface Done {
  readonly fd: number;
  readonly dir: string;
  readonly undo: readonly CgroupWrite[];
}

/**
 * Changes limits of a container that is not stopped. `asked` is what changes; the rest stays as config.json has it. A
 * limit that the kernel refuses takes back those that were written before it.
 */
export function updateContainer(id: string, given: Resources): void {
  const asked = withoutSwapLimit(given);
  const record = getRecord(id);
  if (statusOf(record) === "stopped") throw runtimeError("FailedPrecondition", "container not running");
  const spec = readSpec(id);
  const before = (spec.linux && spec.linux.resources) || {};
  const merged = validateResources(mergeResources(before, asked), "resources");
  const plan = planCgroup(id, undefined, merged, readCgroupLayout(), isRootless());
  const done: Done[] = [];
  if (record.scope) systemd().updateScope(record.scope, askedOf(plan, asked));
  try {
    for (let i = 0; i < plan.dirs.length; i++) {
      const dir = plan.dirs[i] as CgroupDir;
      const path = pathBelow(record, dir.mountpoint);
      const writes = wanted(dir.writes, asked);
      if (path === undefined || writes.length === 0) continue;
      const fd = must(sys.open(path, c.O_PATH | c.O_DIRECTORY, 0), `open cgroup ${path}`);
      checkUsage(fd, merged, asked);
      done.push({ fd, dir: path, undo: readBack(fd, writes) });
      applyWrites(fd, path, writes);
    }
    if (plan.devices && asked.devices && asked.devices.length > 0)
      attachDeviceProgram(record.cgroups[0] as string, plan.devices, true);
    saveResources(id, spec, merged);
  } catch (thrown) {
    takeBack(done);
    if (record.scope) systemd().updateScope(record.scope, undone(done));
    throw thrown;
  }
  for (let i = 0; i < done.length; i++) sys.close((done[i] as Done).fd);
}

/** Memory and swap together have no limit where memory has none. */
function withoutSwapLimit(asked: Resources): Resources {
  const { memory } = asked;
  if (!memory || String(memory.limit) !== "-1" || memory.swap) return asked;
  return mergeResources(asked, { memory: { swap: -1 } });
}

/** New schemas for the container's resctrl group, which must be one that the runtime made. */
export function updateSchemata(id: string, schemata: readonly string[]): void {
  const [group] = getRecord(id).resctrl;
  if (group === undefined)
    throw runtimeError("FailedPrecondition", "update intelRdt: the container has no resctrl group of its own");
  writeSchemata(group, schemata);
}

/** Two levels deep: a section that is asked for keeps the fields of its own that are not. */
export function mergeResources(before: Resources, asked: Resources): Resources {
  const merged: { [section: string]: unknown } = {};
  const sides = [before, asked] as unknown as { [section: string]: unknown }[];
  for (let i = 0; i < sides.length; i++) {
    const side = sides[i] as { [section: string]: unknown };
    for (const section in side) {
      const value = side[section];
      if (value === null || value === undefined) continue;
      const old = merged[section];
      if (typeof old !== "object" || Object.prototype.toString.call(value) === "[object Array]") {
        merged[section] = value;
        continue;
      }
      const fields: { [field: string]: unknown } = {};
      for (const field in old) fields[field] = (old as { [field: string]: unknown })[field];
      for (const field in value) {
        const given = (value as { [field: string]: unknown })[field];
        if (given !== null && given !== undefined) fields[field] = given;
      }
      merged[section] = fields;
    }
  }
  return merged as Resources;
}

/** Fields whose write another field's change needs too. */
const TOGETHER: { readonly [field: string]: readonly string[] } = {
  "memory.swap": ["memory.limit"],
  "memory.limit": ["memory.swap"],
  "cpu.quota": ["cpu.period"],
};

/** The writes that come from what is asked for; the container or its user may have changed the others since. */
function wanted(writes: readonly CgroupWrite[], asked: Resources): CgroupWrite[] {
  const found: CgroupWrite[] = [];
  for (let i = 0; i < writes.length; i++) {
    const write = writes[i] as CgroupWrite;
    const field = write.field.substring("linux.resources.".length);
    const also = TOGETHER[field] || [];
    let hit = isAsked(asked, field);
    for (let k = 0; k < also.length; k++) hit = hit || isAsked(asked, also[k] as string);
    if (hit) found.push(write);
  }
  return found;
}

function isAsked(asked: Resources, field: string): boolean {
  const [section, ...rest] = field.split(/[.[]/) as [string, ...string[]];
  const value = (asked as unknown as { [section: string]: unknown })[section];
  if (typeof value !== "object" || value === null) return false;
  if (rest.length === 0 || section === "unified" || section === "rdma") return true;
  if (Object.prototype.toString.call(value) === "[object Array]") return true;
  const own = (value as { [field: string]: unknown })[rest[0] as string];
  return own !== undefined && own !== null;
}

/** All of them, in whatever hierarchy. */
function askedOf(plan: CgroupPlan, asked: Resources): CgroupWrite[] {
  let found: CgroupWrite[] = [];
  for (let i = 0; i < plan.dirs.length; i++) found = found.concat(wanted((plan.dirs[i] as CgroupDir).writes, asked));
  return found;
}

function undone(done: readonly Done[]): CgroupWrite[] {
  let found: CgroupWrite[] = [];
  for (let i = 0; i < done.length; i++) found = found.concat((done[i] as Done).undo);
  return found;
}

function pathBelow(record: Record, mountpoint: string): string | undefined {
  for (let i = 0; i < record.cgroups.length; i++) {
    const path = record.cgroups[i] as string;
    if (path.indexOf(`${mountpoint}/`) === 0) return path;
  }
  return undefined;
}

/** memory.checkBeforeUpdate: a limit below what is in use would make the kernel reclaim, and kill if it cannot. */
function checkUsage(fd: number, merged: Resources, asked: Resources): void {
  const memory = merged.memory || {};
  if (!memory.checkBeforeUpdate || !asked.memory || Number(memory.limit || 0) <= 0) return;
  let text = sys.readFileAt(fd, "memory.current");
  if (typeof text === "number") text = sys.readFileAt(fd, "memory.usage_in_bytes");
  if (typeof text === "number" || Number(text) <= Number(memory.limit)) return;
  throw runtimeError(
    "FailedPrecondition",
    `update memory.limit to ${memory.limit}: the container uses ${Number(text)} bytes, and memory.checkBeforeUpdate is set`,
    "ask for more, or leave checkBeforeUpdate out",
  );
}

/** What the files hold now, where that is one line which can be written again. */
function readBack(fd: number, writes: readonly CgroupWrite[]): CgroupWrite[] {
  const undo: CgroupWrite[] = [];
  for (let i = 0; i < writes.length; i++) {
    const { file, field, pair } = writes[i] as CgroupWrite;
    const text = sys.readFileAt(fd, file);
    if (typeof text !== "string" || !/^[^\n]+\n$/.test(text)) continue;
    const write = { file, lines: [text.substring(0, text.length - 1)], field };
    undo.push(pair ? { file, lines: write.lines, field, pair } : write);
  }
  return undo;
}

function takeBack(done: readonly Done[]): void {
  for (let i = done.length - 1; i >= 0; i--) {
    const { fd, dir, undo } = done[i] as Done;
    try {
      applyWrites(fd, dir, undo);
    } catch {
      // the first refusal is the one to tell
    }
    sys.close(fd);
  }
}

/** The next update, and a restart of whoever reads the state, begin with what holds now. */
function saveResources(id: string, spec: Spec, resources: Resources): void {
  const linux: { [field: string]: unknown } = {};
  const old = (spec.linux || {}) as { readonly [field: string]: unknown };
  for (const field in old) linux[field] = old[field];
  linux["resources"] = resources;
  const next: { [field: string]: unknown } = {};
  for (const field in spec) next[field] = (spec as unknown as { [field: string]: unknown })[field];
  next["linux"] = linux;
  writeAtomically(configPath(id), JSON.stringify(next), 0o600);
}

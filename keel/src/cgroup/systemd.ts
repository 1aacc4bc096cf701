import { awaitSignal, type CallFailure, isCallFailure } from "../dbus/connection.ts";
import type { Value } from "../dbus/marshal.ts";
import * as c from "../lib/consts.ts";
import { callError, must, type RuntimeError, runtimeError } from "../lib/errors.ts";
import { isRootless } from "../lib/userns.ts";
import type { Spec } from "../spec/types.ts";
import { applyWrites, delegateAbove, makeCgroups, removeCgroups } from "./apply.ts";
import type { CgroupLayout } from "./layout.ts";
import { callManager, closeManager, type Manager, managerCgroup, openManager } from "./manager.ts";
import { type CgroupDir, type CgroupPlan, planCgroup } from "./plan.ts";
import { limitProperties } from "./properties.ts";
import type { CgroupWrite } from "./resources.ts";
import { annotatedProperties, type Property, planUnit, type ScopePlan } from "./unit.ts";

/** A container's cgroup in a unit of systemd, and how to get there. */
export interface Scope {
  readonly plan: ScopePlan;
  readonly manager: Manager;
  /** Path of the unit's cgroup below the mount points. */
  readonly path: string;
  readonly properties: readonly Property[];
  /** Those that a systemd which does not know them may do without: the container's own cgroup has the limits too. */
  readonly limits: readonly Property[];
}

/** What has to be undone when a create fails. */
export interface Made {
  readonly cgroups: string[];
  scope: string;
}

/** Asks systemd where its cgroups are, and plans the unit and the container's cgroup in it. */
export function planScope(id: string, spec: Spec, layout: CgroupLayout): { scope: Scope; cgroup: CgroupPlan } {
  const linux = spec.linux || {};
  const annotations = spec.annotations || {};
  const rootless = isRootless();
  if (rootless && !layout.unified)
    throw runtimeError(
      "FailedPrecondition",
      "use systemd for the cgroup of a rootless container: the host has cgroup v1, which users get no part of",
      "boot with systemd.unified_cgroup_hierarchy=1, or use --cgroup-manager disabled",
    );
  const plan = planUnit(id, linux.cgroupsPath, annotations, rootless);
  const annotated = annotatedProperties(annotations);
  const manager = openManager(rootless);
  const path = `${managerCgroup(manager)}${plan.slicePath}/${plan.unit}`;
  const own = plan.subgroup === "" ? path : `${path}/${plan.subgroup}`;
  const planned = planCgroup(id, own, linux.resources, layout, rootless);
  const limits = limitProperties(writesOf(planned));
  return {
    scope: { plan, manager, path, properties: scopeProperties(id, plan.slice, layout).concat(annotated), limits },
    cgroup: planned,
  };
}

function writesOf(plan: CgroupPlan): CgroupWrite[] {
  let writes: CgroupWrite[] = [];
  for (let i = 0; i < plan.dirs.length; i++) writes = writes.concat((plan.dirs[i] as CgroupDir).writes);
  return writes;
}

function scopeProperties(id: string, slice: string, layout: CgroupLayout): Property[] {
  const on: Value = { type: "b", value: true } as const;
  // accounting is asked for without a limit too: a controller that is switched on later does not count what was before
  return [
    { name: "Description", value: { type: "s", value: `keel container ${id}` } },
    { name: "Slice", value: { type: "s", value: slice } },
    { name: "Delegate", value: on },
    { name: "DefaultDependencies", value: { type: "b", value: false } },
    { name: "MemoryAccounting", value: on },
    { name: "CPUAccounting", value: on },
    { name: layout.unified ? "IOAccounting" : "BlockIOAccounting", value: on },
    { name: "TasksAccounting", value: on },
  ];
}

/**
 * Starts the unit with init in it and makes the container's cgroup; init is moved there with cgroup v2, with v1 it joins
 * by itself. What was made is in `made` for undoing, also when it throws.
 */
export function enterScope(scope: Scope, plan: CgroupPlan, pid: number, made: Made): void {
  startUnit(scope, pid, made);
  // now: systemd tells its own socket's clients of every job, and `run` would not listen for as long as the container lives
  closeManager(scope.manager);
  const dir = plan.dirs[0] as CgroupDir;
  if (plan.delegate.length === 0) {
    makeCgroups(plan, made.cgroups, pid);
    // systemd tells from the version 2 hierarchy whether a unit is alive; last, since the first ones have the freezer
    if (plan.hybrid) enterHybrid(plan.hybrid, made.cgroups, pid);
    return;
  }
  checkPlace(scope, pid);
  made.cgroups.push(dir.path);
  if (scope.plan.subgroup !== "") {
    const result = sys.mkdirat(c.AT_FDCWD, dir.path, 0o755);
    if (result < 0 && result !== -c.EEXIST) throw callError(`make cgroup ${dir.path}`, result);
    moveInit(dir.path, pid);
  }
  // only now: a cgroup with processes in it may not give controllers to those below
  delegateAbove(dir, plan.delegate);
  const fd = must(sys.open(dir.path, c.O_PATH | c.O_DIRECTORY, 0), `open cgroup ${dir.path}`);
  applyWrites(fd, dir.path, dir.writes);
  sys.close(fd);
}

function enterHybrid(dir: CgroupDir, made: string[], pid: number): void {
  makeCgroups({ dirs: [dir], delegate: [], devices: undefined, hybrid: undefined }, made, pid);
  moveInit(dir.path, pid);
}

function moveInit(path: string, pid: number): void {
  const moved = sys.writeFileAt(c.AT_FDCWD, `${path}/cgroup.procs`, String(pid), c.O_WRONLY, 0);
  must(moved, `move the container's init to cgroup ${path}`);
}

function startUnit(scope: Scope, pid: number, made: Made): void {
  const what = `start systemd unit ${scope.plan.unit}`;
  const pids: Property = { name: "PIDs", value: { type: "au", value: [pid] } };
  let limits = scope.limits;
  let failed = false;
  for (;;) {
    try {
      const properties = scope.properties.concat([pids], limits);
      const [job] = callManager(
        scope.manager,
        "StartTransientUnit",
        "ssa(sv)a(sa(sv))",
        [scope.plan.unit, "fail", wire(properties), []],
        what,
      );
      made.scope = scope.plan.unit;
      awaitJob(scope.manager, job as string, what);
      return;
    } catch (thrown) {
      if (!isCallFailure(thrown)) throw thrown;
      const without = withoutRefused(thrown, limits);
      if (without) limits = without;
      // a failed unit of the same name stays until somebody says so
      else if (/\.UnitExists$/.test(thrown.dbusError) && !failed) {
        failed = true;
        resetFailed(scope.manager, scope.plan.unit);
      } else throw explained(thrown, scope.plan.unit);
    }
  }
}

function wire(properties: readonly Property[]): Value[] {
  const values: Value[] = [];
  for (let i = 0; i < properties.length; i++) {
    const { name, value } = properties[i] as Property;
    values.push([name, value]);
  }
  return values;
}

/** The limits without the one that this systemd names as unknown or out of range, if it is one of them. */
function withoutRefused(failure: CallFailure, limits: readonly Property[]): readonly Property[] | undefined {
  if (!/\.(PropertyReadOnly|UnknownProperty|InvalidArgs)$/.test(failure.dbusError)) return undefined;
  const rest: Property[] = [];
  for (let i = 0; i < limits.length; i++) {
    const property = limits[i] as Property;
    if (!new RegExp(`\\b${property.name}\\b`).test(failure.message)) rest.push(property);
  }
  return rest.length < limits.length ? rest : undefined;
}

function explained(failure: CallFailure, unit: string): RuntimeError {
  const { code, message } = failure;
  if (code === "AlreadyExists")
    return runtimeError(code, message, `another container or service has this name: systemctl status ${unit}`);
  if (code === "PermissionDenied")
    return runtimeError(code, message, "only root may ask the system's systemd; a user has one of their own");
  return runtimeError(code, message);
}

/** Waits until systemd has done what the job is for. */
function awaitJob(manager: Manager, job: string, what: string): void {
  const removed = awaitSignal(
    manager.connection,
    (signal) => signal.member === "JobRemoved" && signal.body[1] === job,
    what,
  );
  const result = removed.body[3];
  if (result !== "done")
    throw runtimeError(
      "FailedPrecondition",
      `${what}: its job ended with "${result}"`,
      "the reason is in systemd's journal: journalctl -b _PID=1",
    );
}

/** systemd may report a job as done and yet have left the process where it was, when a policy refused to move it. */
function checkPlace(scope: Scope, pid: number): void {
  const text = sys.readFile(`/proc/${pid}/cgroup`);
  const match = typeof text === "string" ? /^0::(\/.*)$/m.exec(text) : null;
  if (match && match[1] === scope.path) return;
  throw runtimeError(
    "FailedPrecondition",
    `start systemd unit ${scope.plan.unit}: init is in cgroup ${match ? match[1] : "none"} instead of ${scope.path}`,
    "the reason is in systemd's journal: journalctl -b _PID=1",
  );
}

function resetFailed(manager: Manager, unit: string): void {
  try {
    callManager(manager, "ResetFailedUnit", "s", [unit], "reset the unit");
  } catch (thrown) {
    // a unit that has not failed, or is gone, is what was wanted
    if (!isCallFailure(thrown)) throw thrown;
  }
}

/**
 * Ends the unit, whose processes are dead by now, and removes what version 1 hierarchies that systemd does not use have of
 * it. A unit that is gone already is fine: systemd removes it when its last process ends.
 */
export function removeScope(unit: string, cgroups: readonly string[]): void {
  const manager = openManager(isRootless());
  const what = `stop systemd unit ${unit}`;
  try {
    const [job] = callManager(manager, "StopUnit", "ss", [unit, "replace"], what);
    awaitJob(manager, job as string, what);
  } catch (thrown) {
    if (!isCallFailure(thrown) || thrown.code !== "NotFound") throw thrown;
  }
  resetFailed(manager, unit);
  closeManager(manager);
  const left: string[] = [];
  for (let i = 0; i < cgroups.length; i++) {
    const end = (cgroups[i] as string).lastIndexOf(`/${unit}/`);
    if (end >= 0) left.push((cgroups[i] as string).substring(0, end + unit.length + 1));
  }
  removeCgroups(left);
}

/**
 * Gives the unit of a running container the limits that are about to be written to its cgroup (`keel update`). Call it
 * before the writes: with version 1 the container's quota may not exceed the unit's.
 */
export function updateScope(unit: string, writes: readonly CgroupWrite[]): void {
  let limits: readonly Property[] = limitProperties(writes);
  const manager = openManager(isRootless());
  while (limits.length > 0) {
    try {
      // runtime: until the next boot, as the unit itself
      callManager(
        manager,
        "SetUnitProperties",
        "sba(sv)",
        [unit, true, wire(limits)],
        `set limits of systemd unit ${unit}`,
      );
      break;
    } catch (thrown) {
      const without = isCallFailure(thrown) ? withoutRefused(thrown, limits) : undefined;
      if (!without) throw thrown;
      limits = without;
    }
  }
  closeManager(manager);
}

/**
 * Moves a process that joins the container to `path`, a cgroup in the unit, for a user who may not do it: the way there
 * leads through cgroups of the system's manager, which the user's manager asks.
 */
export function attachToScope(unit: string, path: string, pid: number): void {
  const manager = openManager(isRootless());
  const below = path.substring(path.indexOf(`/${unit}`) + unit.length + 1);
  const what = `move a process to systemd unit ${unit}`;
  callManager(manager, "AttachProcessesToUnit", "ssau", [unit, below, [pid]], what);
  closeManager(manager);
}

import type { CgroupDir, CgroupPlan } from "../cgroup/plan.ts";
import type { CgroupWrite } from "../cgroup/resources.ts";
import type { Property, ScopePlan } from "../cgroup/unit.ts";
import type { Actor } from "../lib/trace.ts";
import type { HookKind, Spec } from "../spec/types.ts";
import type { NamespacePlan } from "./namespaces.ts";
import type { ProcessPlan } from "./process.ts";
import type { SchedulePlan } from "./schedule.ts";
import type { Step } from "./steps.ts";

/** One step of a create or run, in the order its actor takes it; `by` and `op` are as `--trace` tells them. */
export interface PlannedStep {
  readonly by: Actor;
  readonly op: string;
  readonly [detail: string]: unknown;
}

export interface Described {
  readonly spec: Spec;
  readonly namespaces: NamespacePlan;
  readonly cgroup: CgroupPlan;
  readonly scope?: { readonly plan: ScopePlan; readonly limits: readonly Property[] } | undefined;
  readonly unified: boolean;
  readonly userNamespace: boolean;
  readonly steps: readonly Step[];
  readonly process: ProcessPlan;
  readonly schedule: SchedulePlan | undefined;
  readonly resctrl: object | undefined;
  readonly filter: { readonly program: Uint8Array; readonly notify: boolean } | undefined;
}

/** All that `run` would do with this plan. Pure. */
export function describePlan(plan: Described): PlannedStep[] {
  const steps: PlannedStep[] = [{ by: "runtime", op: "state" }];
  const early = !plan.scope && (plan.unified || plan.userNamespace);
  if (plan.cgroup.hybrid && !plan.scope) describeCgroup(plan.cgroup.hybrid, steps);
  if (early) describeCgroups(plan, steps);
  if (plan.namespaces.networkBeside) steps.push({ by: "runtime", op: "network" });
  steps.push({ by: "runtime", op: "clone", namespaces: namesOf(plan.spec, "new"), joins: namesOf(plan.spec, "join") });
  if (plan.namespaces.newUser)
    steps.push({
      by: "runtime",
      op: "idmaps",
      uid: (plan.spec.linux || {}).uidMappings || [],
      gid: (plan.spec.linux || {}).gidMappings || [],
    });
  if (!early) describeCgroups(plan, steps);
  if (plan.resctrl) steps.push({ by: "runtime", op: "resctrl", ...plan.resctrl });
  describeInit(plan, steps);
  steps.push({
    by: "runtime",
    op: "limits",
    rlimits: plan.process.rlimits.map((limit) => [limit[0], limit[2], limit[3]]),
  });
  steps.push({ by: "runtime", op: "publish" });
  describeProgram(plan, steps);
  describeHooks(plan.spec, "runtime", "poststart", steps);
  return steps;
}

function describeCgroups(plan: Described, steps: PlannedStep[]): void {
  const { dirs, devices } = plan.cgroup;
  if (plan.scope) {
    const { unit, slice } = plan.scope.plan;
    const properties = plan.scope.limits.map((limit) => `${limit.name}=${limit.value.value}`);
    steps.push({ by: "runtime", op: "scope", unit, slice, properties });
  }
  for (let i = 0; i < dirs.length; i++) describeCgroup(dirs[i] as CgroupDir, steps);
  if (plan.scope && plan.cgroup.hybrid) describeCgroup(plan.cgroup.hybrid, steps);
  if (devices) steps.push({ by: "runtime", op: "devices", rules: devices });
}

function describeCgroup(dir: CgroupDir, steps: PlannedStep[]): void {
  steps.push({ by: "runtime", op: "cgroup", path: dir.path, writes: dir.writes.map(writeText) });
}

function writeText(write: CgroupWrite): string {
  return `${write.file}=${write.lines.join(" | ")}`;
}

function namesOf(spec: Spec, which: "new" | "join"): string[] {
  const found: string[] = [];
  const list = (spec.linux && spec.linux.namespaces) || [];
  for (let i = 0; i < list.length; i++) {
    const { type, path } = list[i] as (typeof list)[0];
    if (which === "new" && !path) found.push(type);
    if (which === "join" && path) found.push(`${type}=${path}`);
  }
  return found;
}

function describeInit(plan: Described, steps: PlannedStep[]): void {
  const { spec, namespaces } = plan;
  const init = (op: string, detail?: object): void => {
    steps.push({ by: "init", op, ...detail });
  };
  init("session");
  if (namespaces.ownFlags !== 0) init("unshare");
  if (namespaces.networkBeside) init("network");
  const early = plan.userNamespace || namespaces.joinMount !== "";
  if (early) init("join");
  if (namespaces.joinMount !== "") init("mountns", { path: namespaces.joinMount });
  if (plan.userNamespace) init("root");
  if (namespaces.newNetwork && !namespaces.networkBeside) init("loopback");
  const devices = (spec.linux && spec.linux.netDevices) || {};
  if (Object.keys(devices).length > 0) init("netdevices", { devices });
  init("keyring");
  if (spec.hostname || spec.domainname) init("names", { hostname: spec.hostname, domainname: spec.domainname });
  for (let i = 0; i < plan.steps.length; i++) {
    const step = plan.steps[i] as Step;
    if (step.op === "join" && early) continue;
    if (step.op === "hooks" && step.kind === "createRuntime") {
      describeHooks(spec, "runtime", "prestart", steps);
      describeHooks(spec, "runtime", "createRuntime", steps);
    }
    steps.push({ by: "init", ...step });
    if (step.op === "hooks" && step.kind === "createContainer") describeHooks(spec, "init", "createContainer", steps);
  }
  if (plan.process.terminal) init("terminal");
  init("close");
  if (!plan.process.terminal) init("stdio");
}

function describeProgram(plan: Described, steps: PlannedStep[]): void {
  const { process, schedule, spec, filter } = plan;
  const init = (op: string, detail?: object): void => {
    steps.push({ by: "init", op, ...detail });
  };
  init("chdir", { path: process.cwd });
  if (process.apparmorProfile !== "" || process.selinuxLabel !== "")
    init("labels", { apparmor: process.apparmorProfile, selinux: process.selinuxLabel });
  if (schedule) init("schedule");
  if (process.noNewPrivileges) init("noNewPrivileges");
  init("user", {
    uid: process.uid,
    gid: process.gid,
    additionalGids: process.additionalGids,
    umask: process.umask,
    capabilities: (spec.process && spec.process.capabilities) || "as they are",
  });
  init("program", { args: process.args });
  describeHooks(spec, "init", "startContainer", steps);
  if (filter) init("filter", { instructions: filter.program.length / 8, notify: filter.notify });
  init("execve", { env: process.env });
}

function describeHooks(spec: Spec, by: Actor, kind: HookKind, steps: PlannedStep[]): void {
  const hooks = (spec.hooks && spec.hooks[kind]) || [];
  for (let i = 0; i < hooks.length; i++) {
    const hook = hooks[i] as (typeof hooks)[0];
    steps.push({ by, op: `hook ${kind}`, path: hook.path, args: hook.args || [hook.path] });
  }
}

/** One line: `12  init  mount fstype=proc source=proc dest=/proc …`, without what is empty. Pure. */
export function sentence(step: PlannedStep): string {
  let text = "";
  for (const key in step) {
    const value = step[key];
    if (key === "by" || key === "op" || value === undefined || value === "" || value === 0 || value === false) continue;
    if (typeof value === "object" && value !== null && Object.keys(value).length === 0) continue;
    text += ` ${key}=${typeof value === "string" ? value : JSON.stringify(value)}`;
  }
  return step.op + text;
}

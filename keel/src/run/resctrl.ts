import * as c from "../lib/consts.ts";
import { callError, must, runtimeError } from "../lib/errors.ts";
import type { IntelRdt } from "../spec/types.ts";

/** Directories of a container below the resctrl file system (kernel: Documentation/arch/x86/resctrl.rst). */
export interface ResctrlPlan {
  readonly group: string;
  /** It must be there: nothing is said about what it would allow. */
  readonly existing: boolean;
  /** Lines for its file `schemata`. */
  readonly schemata: readonly string[];
  /** Monitoring group of the container alone, "" for none. */
  readonly monitor: string;
}

/** Mount point of resctrl in the text of /proc/self/mountinfo, "" when it is not mounted. Pure. */
export function resctrlMount(mountinfo: string): string {
  const match = /^\S+ \S+ \S+ \S+ (\S+) .* - resctrl /m.exec(mountinfo);
  return match ? (match[1] as string) : "";
}

/** runtime-spec "IntelRdt". Pure. @throws InvalidArgument for a closID that is no name */
export function planResctrl(rdt: IntelRdt, id: string, mount: string): ResctrlPlan {
  const schemata = (rdt.schemata || []).concat(rdt.l3CacheSchema || [], rdt.memBwSchema || []);
  const name = rdt.closID || id;
  if (name !== "/" && (name.indexOf("/") >= 0 || name === "." || name === ".."))
    throw runtimeError(
      "InvalidArgument",
      `invalid config.json: linux.intelRdt.closID: must be a directory's name or "/", is "${name}"`,
    );
  const group = name === "/" ? mount : `${mount}/${name}`;
  const existing = name === "/" || (!!rdt.closID && schemata.length === 0);
  return { group, existing, schemata, monitor: rdt.enableMonitoring ? `${group}/mon_groups/${id}` : "" };
}

/** Where resctrl is; config.json asks for it. */
export function findResctrl(): string {
  const text = sys.readFile("/proc/self/mountinfo");
  const mount = typeof text === "string" ? resctrlMount(text) : "";
  if (mount === "")
    throw runtimeError(
      "FailedPrecondition",
      "apply linux.intelRdt: no resctrl file system is mounted",
      "needs a processor with resource control, and: mount -t resctrl resctrl /sys/fs/resctrl",
    );
  return mount;
}

/** Puts a process into its groups; directories that had to be made are added to `made`. */
export function joinResctrl(plan: ResctrlPlan, pid: number, made: string[]): void {
  if (!plan.existing) makeGroup(plan.group, made);
  else if (sys.faccessat(c.AT_FDCWD, plan.group, 0, 0) < 0)
    throw callError(
      `apply linux.intelRdt.closID: open ${plan.group}`,
      -c.ENOENT,
      "without a schema the group must be there already",
    );
  writeSchemata(plan.group, plan.schemata);
  addTask(plan.group, pid);
  if (plan.monitor === "") return;
  makeGroup(plan.monitor, made);
  addTask(plan.monitor, pid);
}

/** One write for all lines: the kernel takes them together or not at all. */
export function writeSchemata(group: string, schemata: readonly string[]): void {
  if (schemata.length === 0) return;
  const text = `${schemata.join("\n")}\n`;
  const result = sys.writeFileAt(c.AT_FDCWD, `${group}/schemata`, text, c.O_WRONLY, 0);
  if (result < 0) throw callError(`write "${schemata.join(", ")}" to ${group}/schemata`, result, lastStatus());
}

function makeGroup(path: string, made: string[]): void {
  const result = sys.mkdirat(c.AT_FDCWD, path, 0o755);
  if (result === -c.EEXIST) return;
  must(result, `make resctrl group ${path}`);
  made.push(path);
}

function addTask(group: string, pid: number): void {
  must(sys.writeFileAt(c.AT_FDCWD, `${group}/tasks`, String(pid), c.O_WRONLY, 0), `join resctrl group ${group}`);
}

/** The kernel's own sentence about what was wrong. */
function lastStatus(): string | undefined {
  const text = sys.readFile(`${findResctrl()}/info/last_cmd_status`);
  return typeof text === "string" && text !== "ok\n" ? text.replace(/\n$/, "") : undefined;
}

/** Only what the runtime made: a group that was there is somebody else's. */
export function removeResctrl(made: readonly string[]): void {
  for (let i = made.length - 1; i >= 0; i--) sys.unlinkat(c.AT_FDCWD, made[i] as string, c.AT_REMOVEDIR);
}

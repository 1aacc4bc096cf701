import { countBits, listBits, putU32, putU64 } from "../lib/bytes.ts";
import * as c from "../lib/consts.ts";
import { runtimeError } from "../lib/errors.ts";
import { lookup } from "../lib/lookup.ts";
import type { MemoryPolicy, Process, Scheduler, Spec } from "../spec/types.ts";

/** How the program is scheduled and where its memory comes from, as its system calls take it. */
export interface SchedulePlan {
  /** struct sched_attr of sched_setattr(2). */
  readonly scheduler: Uint8Array | undefined;
  /** What may be wrong when the kernel refuses it. */
  readonly schedulerHint: string;
  /** ioprio_set(2): class and priority. */
  readonly ioPriority: number | undefined;
  /** PER_* of personality(2). */
  readonly personality: number | undefined;
  readonly memoryPolicy: { readonly mode: number; readonly nodes: Uint8Array | undefined } | undefined;
}

/** Affinity masks of an exec; undefined: as it is. */
export interface ExecAffinity {
  readonly initial: Uint8Array | undefined;
  readonly final: Uint8Array | undefined;
}

const POLICIES: { readonly [name: string]: number } = {
  SCHED_OTHER: 0,
  SCHED_FIFO: 1,
  SCHED_RR: 2,
  SCHED_BATCH: 3,
  SCHED_ISO: 4,
  SCHED_IDLE: 5,
  SCHED_DEADLINE: 6,
};

const SCHEDULER_FLAGS: { readonly [name: string]: number } = {
  SCHED_FLAG_RESET_ON_FORK: 1,
  SCHED_FLAG_RECLAIM: 2,
  SCHED_FLAG_DL_OVERRUN: 4,
  SCHED_FLAG_KEEP_POLICY: 8,
  SCHED_FLAG_KEEP_PARAMS: 16,
  SCHED_FLAG_UTIL_CLAMP_MIN: 32,
  SCHED_FLAG_UTIL_CLAMP_MAX: 64,
};

const IO_CLASSES: { readonly [name: string]: number } = {
  IOPRIO_CLASS_RT: 1,
  IOPRIO_CLASS_BE: 2,
  IOPRIO_CLASS_IDLE: 3,
};

const MEMORY_MODES: { readonly [name: string]: number } = {
  MPOL_DEFAULT: 0,
  MPOL_PREFERRED: 1,
  MPOL_BIND: 2,
  MPOL_INTERLEAVE: 3,
  MPOL_LOCAL: 4,
  MPOL_PREFERRED_MANY: 5,
  MPOL_WEIGHTED_INTERLEAVE: 6,
};

const MEMORY_FLAGS: { readonly [name: string]: number } = {
  MPOL_F_NUMA_BALANCING: 1 << 13,
  MPOL_F_RELATIVE_NODES: 1 << 14,
  MPOL_F_STATIC_NODES: 1 << 15,
};

const SCHED_ATTR_SIZE = 48;

function invalid(field: string, rule: string): unknown {
  return runtimeError("InvalidArgument", `invalid config.json: ${field}: ${rule}`);
}

function named(table: { readonly [name: string]: number }, name: string, field: string): number {
  const value = lookup(table, name);
  if (value === undefined) throw invalid(field, `must be one of ${Object.keys(table).join(", ")}, is "${name}"`);
  return value;
}

function flagsOf(table: { readonly [name: string]: number }, names: readonly string[], field: string): number {
  let flags = 0;
  for (let i = 0; i < names.length; i++) flags = flags | named(table, names[i] as string, `${field}[${i}]`);
  return flags;
}

/** Pure. @throws InvalidArgument with the field and its rule. */
export function planSchedule(process: Process, linux: Spec["linux"]): SchedulePlan {
  const io = process.ioPriority;
  const personality = linux && linux.personality;
  const memory = linux && linux.memoryPolicy;
  if (personality && personality.flags && personality.flags.length > 0)
    throw invalid("linux.personality.flags", "no flag is defined by the specification");
  return {
    scheduler: process.scheduler ? planScheduler(process.scheduler) : undefined,
    schedulerHint: schedulerHint(process.scheduler, linux),
    ioPriority: io ? planIoPriority(io) : undefined,
    personality: personality
      ? named({ LINUX: 0, LINUX32: 8 }, personality.domain, "linux.personality.domain")
      : undefined,
    memoryPolicy: memory ? planMemoryPolicy(memory) : undefined,
  };
}

function planScheduler(scheduler: Scheduler): Uint8Array {
  const field = "process.scheduler";
  const policy = named(POLICIES, scheduler.policy, `${field}.policy`);
  const nice = scheduler.nice || 0;
  const priority = scheduler.priority || 0;
  const timed = Number(scheduler.runtime || 0) + Number(scheduler.deadline || 0) + Number(scheduler.period || 0) > 0;
  if (nice < -20 || nice > 19) throw invalid(`${field}.nice`, `must be from -20 to 19, is ${nice}`);
  if (priority !== 0 && policy !== POLICIES["SCHED_FIFO"] && policy !== POLICIES["SCHED_RR"])
    throw invalid(`${field}.priority`, `goes with SCHED_FIFO and SCHED_RR only, policy is ${scheduler.policy}`);
  if (timed && policy !== POLICIES["SCHED_DEADLINE"])
    throw invalid(field, `runtime, deadline and period go with SCHED_DEADLINE only, policy is ${scheduler.policy}`);
  if (policy === POLICIES["SCHED_DEADLINE"]) checkDeadline(scheduler, field);
  const attr = new Uint8Array(SCHED_ATTR_SIZE);
  putU32(attr, 0, SCHED_ATTR_SIZE);
  putU32(attr, 4, policy);
  putU64(attr, 8, flagsOf(SCHEDULER_FLAGS, scheduler.flags || [], `${field}.flags`));
  putU32(attr, 16, nice);
  putU32(attr, 20, priority);
  putU64(attr, 24, scheduler.runtime || 0);
  putU64(attr, 32, scheduler.deadline || 0);
  putU64(attr, 40, scheduler.period || 0);
  return attr;
}

/** Its first words are runc's. */
function schedulerHint(scheduler: Scheduler | undefined, linux: Spec["linux"]): string {
  const cpu = (linux && linux.resources && linux.resources.cpu) || {};
  return scheduler && scheduler.policy === "SCHED_DEADLINE" && cpu.cpus
    ? "process scheduler can't be used together with AllowedCPUs: SCHED_DEADLINE needs all CPUs, linux.resources.cpu.cpus names some"
    : "it needs CAP_SYS_NICE, and cgroup v1 a cpu.rt_runtime_us above 0";
}

/** sched(7): "all of the parameter values must be at least 1024 and less than 2^63". */
const DEADLINE_LEAST = 1024;
const DEADLINE_MOST: number = Math.pow(2, 63);

/** The kernel says no more than "invalid argument"; the words are crun's. Without a period the deadline is it. */
function checkDeadline(scheduler: Scheduler, field: string): void {
  const fail = (name: string, rule: string): unknown =>
    invalid(`${field}.${name}`, `sched_setattr: \`SCHED_DEADLINE\` ${rule}`);
  const { runtime, deadline, period } = scheduler;
  const required = ["runtime", "deadline"] as const;
  for (let i = 0; i < required.length; i++) {
    const name = required[i] as (typeof required)[0];
    const value = scheduler[name];
    if (value === undefined) throw fail(name, `requires \`${name}\`, in nanoseconds`);
    if (Number(value) <= 0) throw fail(name, `${name} must be greater than 0`);
  }
  if (Number(runtime) > Number(deadline))
    throw fail("runtime", `runtime (${runtime}) must be <= deadline (${deadline})`);
  if (period && Number(deadline) > Number(period))
    throw fail("deadline", `deadline (${deadline}) must be <= period (${period})`);
  const times = ["runtime", "deadline", "period"] as const;
  for (let i = 0; i < times.length; i++) {
    const name = times[i] as (typeof times)[0];
    const value = Number(scheduler[name] || DEADLINE_LEAST);
    if (value < DEADLINE_LEAST || value >= DEADLINE_MOST)
      throw fail(name, `${name} (${scheduler[name]}) must be between ${DEADLINE_LEAST} and 2^63`);
  }
}

function planIoPriority(io: NonNullable<Process["ioPriority"]>): number {
  const level = io.priority || 0;
  if (level < 0 || level > 7) throw invalid("process.ioPriority.priority", `must be from 0 to 7, is ${level}`);
  return (named(IO_CLASSES, io.class, "process.ioPriority.class") << 13) | level;
}

function planMemoryPolicy(policy: MemoryPolicy): { mode: number; nodes: Uint8Array | undefined } {
  const field = "linux.memoryPolicy";
  const mode = policyWord(MEMORY_MODES, policy.mode, "mode", `${field}.mode`);
  const names = policy.flags || [];
  let flags = 0;
  for (let i = 0; i < names.length; i++)
    flags = flags | policyWord(MEMORY_FLAGS, names[i] as string, "flag", `${field}.flags[${i}]`);
  const list = policy.nodes || "";
  const without = mode === MEMORY_MODES["MPOL_DEFAULT"] || mode === MEMORY_MODES["MPOL_LOCAL"];
  const nodes = list === "" ? undefined : listBits(list, c.MOST_NODES);
  if (list !== "" && !nodes)
    throw invalid(
      `${field}.nodes`,
      `invalid memory policy node list "${list}", must be one such as 0-1,3 below ${c.MOST_NODES}`,
    );
  if (without && nodes)
    throw invalid(`${field}.nodes`, `${policy.mode} mode requires 0 nodes but got ${countBits(nodes)}`);
  if (without && flags !== 0) throw invalid(`${field}.flags`, `${policy.mode} takes no flags`);
  if (!without && !nodes && mode !== MEMORY_MODES["MPOL_PREFERRED"])
    throw invalid(`${field}.nodes`, `${policy.mode} needs a list of memory nodes`);
  return { mode: mode | flags, nodes };
}

/** As `named`, in the words that runc's callers look for. */
function policyWord(
  table: { readonly [name: string]: number },
  name: string | undefined,
  kind: string,
  field: string,
): number {
  const value = name === undefined ? undefined : lookup(table, name);
  if (value !== undefined) return value;
  const known = Object.keys(table).join(", ");
  throw invalid(field, `invalid memory policy ${kind} "${name || ""}", must be one of ${known}`);
}

/** Pure. */
export function planExecAffinity(process: Process): ExecAffinity {
  const wanted = process.execCPUAffinity || {};
  return { initial: cpus(wanted.initial, "initial"), final: cpus(wanted.final, "final") };
}

function cpus(list: string | undefined, field: string): Uint8Array | undefined {
  if (!list) return undefined;
  const bits = listBits(list, c.MOST_CPUS);
  if (!bits) throw invalid(`process.execCPUAffinity.${field}`, `must be a list such as 0-3,8, is "${list}"`);
  return bits;
}

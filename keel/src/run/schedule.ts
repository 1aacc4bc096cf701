import { hexMask } from "../lib/bytes.ts";
import * as c from "../lib/consts.ts";
import { callError } from "../lib/errors.ts";
import { debug } from "../lib/report.ts";
import type { SchedulePlan } from "../plan/schedule.ts";

const IOPRIO_WHO_PROCESS = 1;

function call(name: string, field: string, hint: string, ...args: readonly (number | Uint8Array)[]): void {
  const result = sys.syscall(sys.syscallNumber(name), ...args);
  if (result < 0) throw callError(`apply ${field}`, result, hint);
}

/** Of this process, which is about to become the container's; needs the rights it still has. */
export function applySchedule(plan: SchedulePlan): void {
  if (plan.scheduler) call("sched_setattr", "process.scheduler", plan.schedulerHint, 0, plan.scheduler, 0);
  if (plan.ioPriority !== undefined) {
    const hint = "IOPRIO_CLASS_RT needs CAP_SYS_ADMIN or CAP_SYS_NICE";
    call("ioprio_set", "process.ioPriority", hint, IOPRIO_WHO_PROCESS, 0, plan.ioPriority);
  }
  if (plan.personality !== undefined)
    call("personality", "linux.personality", "the kernel must know the domain", plan.personality);
  if (plan.memoryPolicy) {
    const { mode, nodes } = plan.memoryPolicy;
    const hint = "the nodes must exist and be among cpuset.mems, the mode needs a kernel that knows it";
    if (nodes) call("set_mempolicy", "linux.memoryPolicy", hint, mode, nodes, c.MOST_NODES + 1);
    else call("set_mempolicy", "linux.memoryPolicy", hint, mode, 0, 0);
  }
}

/** The mask of CPUs of this process. */
export function setAffinity(cpus: Uint8Array, field: string): void {
  call("sched_setaffinity", field, "the CPUs must be online and among cpuset.cpus", 0, cpus.length, cpus);
}

/** Of exec's process while it is still the runtime's. */
export function setFirstAffinity(cpus: Uint8Array): void {
  setAffinity(cpus, "process.execCPUAffinity.initial");
  debug(`nsexec container setup: affinity: 0x${hexMask(cpus)}`);
}

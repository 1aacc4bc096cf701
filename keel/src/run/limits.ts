import * as c from "../lib/consts.ts";
import { callError } from "../lib/errors.ts";
import type { ProcessPlan } from "../plan/process.ts";

/** rlimits and OOM score, set from outside while the process waits: inside they could hit its own set-up. */
export function applyResourceLimits(pid: number, plan: ProcessPlan): void {
  setLimits(pid, plan);
  if (plan.oomScoreAdj === undefined) return;
  const result = sys.writeFileAt(c.AT_FDCWD, `/proc/${pid}/oom_score_adj`, String(plan.oomScoreAdj), c.O_WRONLY, 0);
  if (result < 0) {
    const hint = result === -c.EACCES ? "lowering it needs CAP_SYS_RESOURCE, which this process lacks" : undefined;
    throw callError(`set process.oomScoreAdj to ${plan.oomScoreAdj}`, result, hint);
  }
}

/**
 * Without CAP_SYS_RESOURCE the limits of another user's process are out of our reach: then it lowers its own, when
 * nothing but its program is left to do. Where they are set already this changes nothing.
 */
export function applyOwnLimits(plan: ProcessPlan): void {
  if (plan.uid !== 0) setLimits(0, plan);
}

function setLimits(pid: number, plan: ProcessPlan): void {
  for (let i = 0; i < plan.rlimits.length; i++) {
    const [type, number, soft, hard] = plan.rlimits[i] as readonly [string, number, number | string, number | string];
    const result = sys.prlimit(pid, number, soft, hard);
    if (result === -c.EPERM && pid !== 0 && plan.uid !== 0 && Number(hard) <= ownHardLimit(number)) continue;
    if (result < 0) {
      const hint =
        result === -c.EPERM
          ? "raising a hard limit needs CAP_SYS_RESOURCE, which this process lacks: ask for less"
          : undefined;
      throw callError(`set rlimit ${type} to ${soft}:${hard}`, result, hint);
    }
  }
}

/** The limit that the new process has from us. */
function ownHardLimit(resource: number): number {
  const limits = new Uint8Array(16);
  if (sys.syscall(sys.syscallNumber("prlimit64"), 0, resource, 0, limits) < 0) return 0;
  let value = 0;
  for (let i = 15; i >= 8; i--) value = value * 256 + (limits[i] as number);
  return value;
}

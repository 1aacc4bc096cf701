import * as c from "../lib/consts.ts";
import { callError } from "../lib/errors.ts";
import type { ProcessPlan } from "../plan/process.ts";

/** rlimits and OOM score, set from outside while the process waits: inside they could hit its own set-up. */
export function applyResourceLimits(pid: number, plan: ProcessPlan): void {
  for (let i = 0; i < plan.rlimits.length; i++) {
    const [type, number, soft, hard] = plan.rlimits[i] as readonly [string, number, number | string, number | string];
    const result = sys.prlimit(pid, number, soft, hard);
    if (result < 0) {
      const hint =
        result === -c.EPERM
          ? "raising a hard limit needs CAP_SYS_RESOURCE, which this process lacks: ask for less"
          : undefined;
      throw callError(`set rlimit ${type} to ${soft}:${hard}`, result, hint);
    }
  }
  if (plan.oomScoreAdj === undefined) return;
  const result = sys.writeFileAt(c.AT_FDCWD, `/proc/${pid}/oom_score_adj`, String(plan.oomScoreAdj), c.O_WRONLY, 0);
  if (result < 0) {
    const hint = result === -c.EACCES ? "lowering it needs CAP_SYS_RESOURCE, which this process lacks" : undefined;
    throw callError(`set process.oomScoreAdj to ${plan.oomScoreAdj}`, result, hint);
  }
}

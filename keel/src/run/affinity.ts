import * as c from "../lib/consts.ts";

/**
 * All CPUs its cgroup allows. A caller that is bound to some would pass its mask on, and the kernel keeps a mask over
 * the move into a cpuset (facts e.22); whoever may not widen it keeps it.
 */
export function resetAffinity(): void {
  const all = new Uint8Array(c.MOST_CPUS / 8);
  all[0] = 255;
  // doubled: every container takes this way, and a loop over the bytes costs more than the call
  for (let done = 1; done < all.length; done *= 2) all.set(all.subarray(0, done), done);
  sys.syscall(sys.syscallNumber("sched_setaffinity"), 0, all.length, all);
}

/** Kernels know at most 8192 CPUs. */
const MOST_CPUS = 8192;

/**
 * All CPUs its cgroup allows. A caller that is bound to some would pass its mask on, and the kernel keeps a mask over
 * the move into a cpuset (facts e.22); whoever may not widen it keeps it.
 */
export function resetAffinity(): void {
  const all = new Uint8Array(MOST_CPUS / 8);
  for (let i = 0; i < all.length; i++) all[i] = 255;
  sys.syscall(sys.syscallNumber("sched_setaffinity"), 0, all.length, all);
}

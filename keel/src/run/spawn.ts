import * as c from "../lib/consts.ts";
import { callError, must, type RuntimeError } from "../lib/errors.ts";
import { NAMESPACE_FILES, NAMESPACE_FLAGS, type NamespacePlan } from "../plan/namespaces.ts";

/**
 * Clones init into its namespaces and returns its pid. Namespaces to join are entered by this process around the
 * clone and left again; `cgroup` (v2) makes it start there (CLONE_INTO_CGROUP). `main` runs in the child, and learns
 * whether its time namespace is left to it.
 */
export function spawnInit(
  plan: NamespacePlan,
  cgroup: string,
  sync: number,
  main: (ownTime: boolean) => never,
): number {
  // processes of a joined pid namespace must not trace init before it has let go of the host (CVE-2016-9962)
  if (plan.joins.length > 0 || plan.joinUser !== "") sys.prctl(c.PR_SET_DUMPABLE, 0, 0, 0, 0);
  const { back, late } = enterJoins(plan);
  // without root it can only be the affair of the new user namespace's root
  const ownTime = plan.newTime && plan.newUser && plan.joins.length === 0 && sys.geteuid() !== 0;
  if (plan.newTime && !ownTime) makeTimeNamespace(plan.timeOffsets);
  const cgroupFd = cgroup === "" ? -1 : must(sys.open(cgroup, c.O_PATH | c.O_DIRECTORY, 0), `open cgroup ${cgroup}`);
  let pid: number;
  if (plan.joinUser !== "") pid = spawnThroughUser(plan, late, cgroupFd, main);
  else {
    pid = sys.clone(plan.cloneFlags, cgroupFd);
    if (pid === 0) {
      sys.close(sync);
      main(ownTime);
    }
  }
  if (cgroupFd >= 0) sys.close(cgroupFd);
  for (let i = 0; i < back.length; i++) {
    must(sys.setns(back[i] as number, 0), "return to the runtime's own namespace");
    sys.close(back[i] as number);
  }
  if (pid < 0) throw namespaceError(pid);
  return pid;
}

/**
 * For the root of a user namespace that is new, and alone in its pid namespace: whoever may trace a process may write its
 * offsets, which takes a dumpable one.
 */
export function enterOwnTime(offsets: string): void {
  must(sys.prctl(c.PR_SET_DUMPABLE, 1, 0, 0, 0), "open our /proc/self to us");
  makeTimeNamespace(offsets);
  const made = must(sys.open("/proc/self/ns/time_for_children", c.O_RDONLY, 0), "open the time namespace");
  must(sys.setns(made, c.CLONE_NEWTIME), "enter the time namespace");
  sys.close(made);
  must(sys.prctl(c.PR_SET_DUMPABLE, 0, 0, 0, 0), "become undumpable");
}

/** Its offsets can be set until the first process enters it, which is init. */
function makeTimeNamespace(offsets: string): void {
  must(sys.unshare(c.CLONE_NEWTIME), "make a time namespace");
  if (offsets === "") return;
  const result = sys.writeFileAt(c.AT_FDCWD, "/proc/self/timens_offsets", offsets, c.O_WRONLY, 0);
  if (result < 0)
    throw callError("apply linux.timeOffsets", result, "no clock may come out negative, and CAP_SYS_TIME is needed");
}

export function namespaceError(result: number): RuntimeError {
  let hint: string | undefined;
  if (result === -c.EPERM) hint = "needs root, or a user namespace in linux.namespaces";
  else if (result === -c.ENOSPC) hint = "raise user.max_*_namespaces";
  return callError("make the container's namespaces", result, hint);
}

interface Joined {
  /** Descriptors of our own namespaces, to return to. */
  readonly back: readonly number[];
  /** Left to the stage that joins a user namespace: descriptor with the flags of setns(2). */
  readonly late: readonly (readonly [number, number])[];
}

/** Enters every namespace to join with the rights we have, what is owned by the user namespace to join excepted (facts e.4). */
function enterJoins(plan: NamespacePlan): Joined {
  const back: number[] = [];
  const late: [number, number][] = [];
  const opened: number[] = [];
  // open all first: paths may vanish behind a namespace change
  for (let i = 0; i < plan.joins.length; i++) {
    const join = plan.joins[i] as NamespacePlan["joins"][0];
    const fd = sys.open(join.path, c.O_RDONLY, 0);
    if (fd < 0) throw callError(`${join.field}: open ${join.path}`, fd);
    opened.push(fd);
  }
  for (let i = 0; i < opened.length; i++) {
    const join = plan.joins[i] as NamespacePlan["joins"][0];
    // a stage inside it would report init's pid as it is there
    if (join.type === "pid" && plan.joinUser !== "") {
      late.push([opened[i] as number, c.CLONE_NEWPID]);
      continue;
    }
    const file =
      join.type === "pid"
        ? "pid_for_children"
        : join.type === "time"
          ? "time_for_children"
          : NAMESPACE_FILES[join.type];
    const own = must(sys.open(`/proc/self/ns/${file}`, c.O_RDONLY, 0), `open own ${join.type} namespace`);
    const result = sys.setns(opened[i] as number, NAMESPACE_FLAGS[join.type]);
    if (result === -c.EPERM && plan.joinUser !== "") {
      sys.close(own);
      late.push([opened[i] as number, NAMESPACE_FLAGS[join.type]]);
      continue;
    }
    back.push(own);
    must(result, `join ${join.type} namespace ${join.path}`);
    sys.close(opened[i] as number);
  }
  return { back, late };
}

/**
 * Joining a user namespace: a stage process enters it, makes the rest inside it, and gives birth to init as its
 * sibling (CLONE_PARENT), whose pid it reports.
 */
function spawnThroughUser(
  plan: NamespacePlan,
  late: Joined["late"],
  cgroupFd: number,
  main: (ownTime: boolean) => never,
): number {
  const fd = must(sys.open(plan.joinUser, c.O_RDONLY, 0), `open ${plan.joinUser}`);
  const pair = sys.socketpair(5);
  if (typeof pair === "number") throw callError("make a socket pair", pair);
  const stage = sys.clone(0, -1);
  if (stage === 0) {
    const joined = joinLate(fd, late);
    const child = joined < 0 ? joined : sys.clone((plan.cloneFlags | c.CLONE_PARENT) >>> 0, cgroupFd);
    if (child === 0) main(false);
    sys.write(pair[1], String(child));
    sys.exit(0);
  }
  sys.close(fd);
  for (let i = 0; i < late.length; i++) sys.close((late[i] as readonly [number, number])[0]);
  sys.close(pair[1]);
  const answer = stage < 0 ? stage : sys.read(pair[0], 32);
  sys.close(pair[0]);
  if (stage > 0) sys.waitpid(stage, 0, [0]);
  return typeof answer === "number" ? answer : answer === "" ? -c.EPERM : Number(answer);
}

/** First with the rights of the host, then what is left with those inside the user namespace. */
function joinLate(user: number, late: Joined["late"]): number {
  const left: (readonly [number, number])[] = [];
  for (let i = 0; i < late.length; i++) {
    const [namespace, type] = late[i] as readonly [number, number];
    const joined = sys.setns(namespace, type);
    if (joined === -c.EPERM) left.push([namespace, type]);
    else if (joined < 0) return joined;
  }
  let joined = sys.setns(user, c.CLONE_NEWUSER);
  for (let i = 0; i < left.length && joined >= 0; i++) {
    const [namespace, type] = left[i] as readonly [number, number];
    joined = sys.setns(namespace, type);
  }
  return joined;
}

import { cgroupsBelow, joinSelf, unifiedCgroup } from "../cgroup/apply.ts";
import { systemd } from "../cgroup/driver.ts";
import { hybridMount } from "../cgroup/layout.ts";
import * as c from "../lib/consts.ts";
import { context } from "../lib/context.ts";
import { callError, must, mustGet, type RuntimeError, runtimeError } from "../lib/errors.ts";
import { absolute, writeAtomically } from "../lib/files.ts";
import { debug, warn } from "../lib/report.ts";
import { changedSignals } from "../lib/signals.ts";
import { type ProcessPlan, planProcess } from "../plan/process.ts";
import type { ExecAffinity, SchedulePlan } from "../plan/schedule.ts";
import { type Filter, filterFor } from "../seccomp/filter.ts";
import type { Process, Spec } from "../spec/types.ts";
import { getRecord, ociState, type Record, statusOf } from "../state/store.ts";
import { resetAffinity } from "./affinity.ts";
import { becomeProgram, completeEnv, prepareStdio } from "./become.ts";
import { closeOthers } from "./fds.ts";
import { applyOwnLimits, applyResourceLimits } from "./limits.ts";
import { sendPidfd } from "./pidfd.ts";
import { rare, scheduleOf } from "./rare.ts";
import { loadFilter, nextReport } from "./seccomp.ts";
import { expectWord, nextWord, sendError, sendGo } from "./sync.ts";
import { connectConsole, consolePair, openTerminal, receiveMaster, sendMaster, takeTerminal } from "./terminal.ts";

export interface ExecOptions {
  readonly id: string;
  readonly process: Process;
  readonly spec: Spec;
  readonly consoleSocket: string;
  readonly pidFile: string;
  readonly pidfdSocket: string;
  readonly detach: boolean;
  readonly preserveFds: number;
  readonly ignorePaused: boolean;
  /** `--cgroup`, none for the container's own. */
  readonly cgroups: readonly string[];
}

export interface Executed {
  readonly pid: number;
  /** Terminal master for a foreground exec with a terminal, else -1. */
  readonly master: number;
}

/** What the new process gets besides its plan. */
interface ChildEnds {
  readonly sync: number;
  readonly consoleSocket: number;
  readonly preserveFds: number;
  /** See changedSignals. */
  readonly signals: readonly number[] | undefined;
  /** Namespaces that it is born in. */
  readonly joined: number;
}

/** What is decided before anything is touched. */
interface ExecPlan {
  readonly record: Record;
  readonly plan: ProcessPlan;
  readonly schedule: SchedulePlan | undefined;
  readonly affinity: ExecAffinity | undefined;
  readonly filter: Filter | undefined;
  readonly cgroups: readonly string[];
}

function planExec(options: ExecOptions): ExecPlan {
  const record = getRecord(options.id);
  const status = statusOf(record);
  if (status === "stopped") throw runtimeError("FailedPrecondition", "cannot exec in a stopped container");
  if (status === "paused" && !options.ignorePaused) {
    throw runtimeError("FailedPrecondition", "cannot exec in a paused container (use --ignore-paused to override)");
  }
  const seccomp = options.spec.linux && options.spec.linux.seccomp;
  const plan = planProcess(options.process, seccomp, options.spec.annotations);
  plan.warnings.forEach(warn);
  if (plan.terminal && options.detach && !options.consoleSocket) {
    throw runtimeError(
      "InvalidArgument",
      "cannot allocate tty if runc will detach without setting console socket",
      "pass --console-socket",
    );
  }
  const limited = record.cgroups.filter((path) => path !== record.hybrid);
  return {
    record,
    plan,
    schedule: scheduleOf(options.process, options.spec.linux),
    affinity: options.process.execCPUAffinity ? rare().planExecAffinity(options.process) : undefined,
    filter: seccomp ? filterFor(seccomp, context().root) : undefined,
    cgroups: cgroupsBelow(limited, options.cgroups),
  };
}

/** Starts one more process in a running container. */
export function execInContainer(options: ExecOptions): Executed {
  const planned = planExec(options);
  const { plan } = planned;
  const keep = plan.terminal && !options.detach && !options.consoleSocket;
  let master = -1;
  let consoleSocket = -1;
  if (keep) [master, consoleSocket] = consolePair();
  else if (plan.terminal) consoleSocket = connectConsole(options.consoleSocket);
  const [mine, theirs] = mustGet(sys.socketpair(5), "make a socket pair");
  const ends: ChildEnds = {
    sync: theirs,
    consoleSocket,
    preserveFds: options.preserveFds,
    signals: changedSignals(),
    joined: joinedEarly(planned.record),
  };
  debug("nsexec container setup: a process is made in the container's namespaces");
  const pid = spawnExec(planned, options, mine, ends);
  debug(`child process in init(): ${pid}`);
  sys.close(theirs);
  if (consoleSocket >= 0) sys.close(consoleSocket);
  try {
    expectWord(nextWord(mine), "ready", died);
    applyResourceLimits(pid, plan);
    if (keep) master = receiveMaster(master);
    if (options.pidfdSocket) sendPidfd(options.pidfdSocket, pid);
    if (options.pidFile) writeAtomically(absolute(options.pidFile), String(pid), 0o644);
    debug("setns_init: about to exec: it stands before its program");
    sendGo(mine, "start the program");
    const word = nextReport(mine, pid, () => ({ spec: options.spec, state: ociState(planned.record, "running") }));
    expectWord(word, "", died);
  } catch (thrown) {
    sys.kill(pid, c.SIGKILL);
    sys.waitpid(pid, 0, [0]);
    throw thrown;
  }
  sys.close(mine);
  return { pid, master };
}

/** Clones the process, which is born in the container's pid namespace, and with cgroup v2 in its cgroup. */
function spawnExec(planned: ExecPlan, options: ExecOptions, mine: number, ends: ChildEnds): number {
  const { record, cgroups, affinity } = planned;
  const pidfd = sys.pidfdOpen(record.pid, 0);
  if (pidfd < 0) throw runtimeError("FailedPrecondition", "cannot exec in a stopped container");
  // the container's processes must not trace ours before it has let go of the host (CVE-2016-9962)
  must(sys.prctl(c.PR_SET_DUMPABLE, 0, 0, 0, 0), "become undumpable");
  if (ends.joined !== 0) must(sys.setns(pidfd, ends.joined), "join the container's pid namespace");
  const home = unifiedPath(record, options.cgroups.length > 0, cgroups[0] || "");
  const cgroup =
    home === "" ? -1 : must(sys.open(home, c.O_PATH | c.O_DIRECTORY, 0), `error adding pid to cgroup ${home}`);
  // inherited, so that it holds before the process is in the container's cgroup
  if (affinity && affinity.initial) rare().setFirstAffinity(affinity.initial);
  let pid = sys.clone(0, cgroup);
  // a user may not take a process out of the session: systemd does
  const attach = pid === -c.EACCES && !!record.scope;
  if (attach) pid = sys.clone(0, -1);
  if (pid === 0) {
    sys.close(mine);
    childMain(planned, ends, pidfd);
  }
  sys.close(pidfd);
  if (cgroup >= 0) sys.close(cgroup);
  if (pid < 0) throw callError("start a process in the container", pid);
  if (attach) attachExec(record.scope as string, home, pid);
  return pid;
}

function attachExec(scope: string, path: string, pid: number): void {
  try {
    systemd().attachToScope(scope, path, pid);
  } catch (thrown) {
    sys.kill(pid, c.SIGKILL);
    sys.waitpid(pid, 0, [0]);
    throw thrown;
  }
}

/**
 * What this process joins, so that its child is born there: the pid namespace, and before it the user namespace that
 * owns it where we are no root.
 */
function joinedEarly(record: Record): number {
  if (!(record.namespaces & c.CLONE_NEWPID)) return 0;
  return sys.geteuid() === 0 ? c.CLONE_NEWPID : record.namespaces & (c.CLONE_NEWPID | c.CLONE_NEWUSER);
}

/**
 * The version 2 cgroup to be born in, "" for none. Init may have moved to a group below the one it was made in, which
 * then takes no processes itself (facts e.8).
 */
function unifiedPath(record: Record, wanted: boolean, path: string): string {
  if (record.hybrid) return unifiedCgroup(record.pid, hybridMount(), record.hybrid);
  if (!record.unified) return "";
  return wanted ? path : unifiedCgroup(record.pid, "/sys/fs/cgroup", path);
}

const died = (): RuntimeError =>
  runtimeError("Internal", "start a process in the container: it ended before it was ready");

function childMain(planned: ExecPlan, ends: ChildEnds, pidfd: number): never {
  try {
    runChild(planned, ends, pidfd);
  } catch (thrown) {
    sendError(ends.sync, thrown);
  }
  return sys.exit(255);
}

function runChild(planned: ExecPlan, ends: ChildEnds, pidfd: number): void {
  const { sync } = ends;
  const { plan, record, cgroups, affinity } = planned;
  if (!record.unified) joinSelf(cgroups);
  if (affinity && affinity.final) rare().setAffinity(affinity.final, "process.execCPUAffinity.final");
  else if (!affinity || !affinity.initial) resetAffinity();
  // the host's mount namespace knows no root but the host's
  const root = record.hostMount ? sys.open(`/proc/${record.pid}/root`, c.O_PATH | c.O_DIRECTORY, 0) : -1;
  const flags = record.namespaces & ~ends.joined;
  if (flags !== 0) must(sys.setns(pidfd, flags), "join the container's namespaces");
  if (record.hostMount) {
    must(root, "open the container's root");
    must(sys.fchdir(root), "enter the container's root");
    must(sys.chroot("."), "enter the container's root");
  }
  if (record.userNamespace) {
    must(sys.setresgid(0, 0, 0), "become root in the user namespace");
    must(sys.setresuid(0, 0, 0), "become root in the user namespace");
  }
  must(sys.setsid(), "start a session");
  const terminal = ends.consoleSocket >= 0;
  if (terminal) {
    const pair = openTerminal(c.AT_FDCWD, "/dev/pts/ptmx", plan);
    sendMaster(ends.consoleSocket, pair.master);
    takeTerminal(pair.slave);
  }
  closeOthers(ends.preserveFds, [sync]);
  const env = completeEnv(plan);
  if (!terminal) prepareStdio(plan);
  const program = becomeProgram({
    plan,
    schedule: planned.schedule,
    env,
    sync,
  });
  sys.write(sync, "ready");
  if (sys.read(sync, 16) !== "go") sys.exit(255);
  applyOwnLimits(plan);
  sys.resetSignals(ends.signals);
  loadFilter(planned.filter, sync);
  const result = sys.execve(program, plan.args, env);
  throw callError(`exec ${program}`, result);
}

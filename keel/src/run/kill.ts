import { isFrozen, listProcesses, removeCgroups } from "../cgroup/apply.ts";
import { systemd } from "../cgroup/driver.ts";
import * as c from "../lib/consts.ts";
import { callError, runtimeError } from "../lib/errors.ts";
import {
  containerDir,
  getRecord,
  isAlive,
  ociState,
  processStat,
  type Record,
  readSpec,
  removeRecord,
  statusOf,
} from "../state/store.ts";
import { removeHostMount } from "./hostmount.ts";
import { rare } from "./rare.ts";

const KILL_ROUNDS = 200;

const SIGNALS = (
  "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG XCPU " +
  "XFSZ VTALRM PROF WINCH IO PWR SYS"
).split(" ");

/** Number of a signal given as `TERM`, `SIGTERM`, `sigterm`, `15`, `RTMIN+3`. */
export function parseSignal(text: string): number {
  if (/^\d+$/.test(text)) {
    const number = Number(text);
    // 0 sends nothing and tells whether the container is there
    if (number >= 0 && number <= 64) return number;
  }
  const name = text.toUpperCase().replace(/^SIG/, "");
  const index = SIGNALS.indexOf(name);
  if (index >= 0) return index + 1;
  if (name === "POLL") return 29;
  const realtime = /^RT(MIN|MAX)([+-]\d+)?$/.exec(name);
  if (realtime) {
    const number = (realtime[1] === "MIN" ? 34 : 64) + Number(realtime[2] || 0);
    if (number >= 34 && number <= 64) return number;
  }
  throw runtimeError("InvalidArgument", `unknown signal "${text}"`, "use a name such as TERM or a number from 0 to 64");
}

/** Sends a signal to init through a pidfd, so that it can never hit another process with the same number. */
export function killContainer(id: string, signal: number, all: boolean): void {
  const record = getRecord(id);
  const pidfd = isAlive(record) ? sys.pidfdOpen(record.pid, 0) : -c.ESRCH;
  if (pidfd < 0 || !isAlive(record)) {
    // init is gone; what it left in a shared pid namespace still gets the KILL
    if (signal === c.SIGKILL && killLeft(record)) return;
    if (all) return;
    throw runtimeError("FailedPrecondition", "container not running");
  }
  // without a pid namespace of its own nothing dies with init
  const result = sys.pidfdSendSignal(pidfd, signal);
  sys.close(pidfd);
  if (signal === c.SIGKILL && record.ownPids === false) killLeft(record);
  if (result === -c.ESRCH) throw runtimeError("FailedPrecondition", "container not running");
  if (result < 0) throw callError(`signal container ${id}`, result);
  if (signal === c.SIGKILL) thaw(record);
}

/** Frozen while they are told, since one that is not yet told could make another; none may be left when this returns. */
function killLeft(record: Record): boolean {
  const first = record.cgroups[0];
  let found = false;
  for (let attempt = 0; first && attempt < KILL_ROUNDS; attempt++) {
    if (listProcesses(first).length === 0) break;
    found = true;
    setFrozen(record, true);
    const left = listProcesses(first);
    for (let i = 0; i < left.length; i++) sys.kill(left[i] as number, c.SIGKILL);
    setFrozen(record, false);
    sys.poll([], 2, []);
  }
  return found;
}

/** Writes the freezer's state; returns false when there is none. */
export function setFrozen(record: Record, frozen: boolean): boolean {
  for (let i = 0; i < record.cgroups.length; i++) {
    const path = record.cgroups[i] as string;
    const v1 = path.indexOf("/freezer/") >= 0;
    const file = v1 ? `${path}/freezer.state` : `${path}/cgroup.freeze`;
    const value = v1 ? (frozen ? "FROZEN" : "THAWED") : frozen ? "1" : "0";
    if (sys.writeFileAt(c.AT_FDCWD, file, value, c.O_WRONLY, 0) >= 0) return true;
  }
  return false;
}

/** A frozen process does not die of SIGKILL on cgroup v1. */
function thaw(record: Record): void {
  if (isFrozen(record.cgroups)) setFrozen(record, false);
}

/** Init may have been moved to a cgroup that is none of ours, and frozen there (version 1). */
function thawWhereItIs(pid: number): void {
  const cgroups = sys.readFile(`/proc/${pid}/cgroup`);
  const found = typeof cgroups === "string" && /^\d+:freezer:(\/.*)$/m.exec(cgroups);
  if (found) sys.writeFileAt(c.AT_FDCWD, `/sys/fs/cgroup/freezer${found[1]}/freezer.state`, "THAWED", c.O_WRONLY, 0);
}

/** Ends every process of the container: init first (its pid namespace dies with it), then what is in the cgroup. */
export function killAll(record: Record): void {
  if (isAlive(record)) sys.kill(record.pid, c.SIGKILL);
  for (let i = 0; i < record.cgroups.length; i++) {
    if (sys.writeFileAt(c.AT_FDCWD, `${record.cgroups[i]}/cgroup.kill`, "1", c.O_WRONLY, 0) >= 0) break;
  }
  killLeft(record);
}

function awaitEnd(record: Record, ms: number): boolean {
  const pidfd = sys.pidfdOpen(record.pid, 0);
  if (pidfd >= 0) {
    // our own child (run) stays a zombie until it is waited for: both count as ended
    if (isAlive(record)) sys.poll([pidfd, c.POLLIN], ms, []);
    sys.close(pidfd);
  }
  return !isAlive(record);
}

/** Removes a stopped container; with `force` any, and a missing one is fine then. */
export function deleteContainer(id: string, force: boolean): void {
  let record: Record;
  try {
    record = getRecord(id);
  } catch (thrown) {
    // a create that was killed half-way left a directory without state
    if (force) {
      removeRecord(id);
      return;
    }
    throw thrown;
  }
  const status = statusOf(record);
  if (status !== "stopped") {
    if (!force && status !== "created")
      throw runtimeError("FailedPrecondition", `cannot delete container ${id} that is not stopped: ${status}`);
    killAll(record);
    for (let attempt = 0; !awaitEnd(record, 100); attempt++) {
      if (attempt > 100)
        throw runtimeError(
          "DeadlineExceeded",
          `delete container ${id}: process ${record.pid} does not end (state ${(processStat(record.pid) || [""])[0]})`,
        );
      thaw(record);
      if (isAlive(record)) thawWhereItIs(record.pid);
    }
  } else killLeft(record);
  removeStopped(record);
}

/** For the runtime that waited for its end, unless another one was faster: what is left of it goes. */
export function deleteOwn(record: Record): void {
  if (sys.faccessat(c.AT_FDCWD, containerDir(record.id), 0, 0) < 0) return;
  killLeft(record);
  removeStopped(record);
}

function removeStopped(record: Record): void {
  removeCgroups(record.cgroups);
  if (record.scope) systemd().removeScope(record.scope, record.cgroups);
  if (record.resctrl.length > 0) rare().removeResctrl(record.resctrl);
  if (record.hostMount) removeHostMount(record.hostMount);
  if (record.poststop) {
    try {
      rare().runPoststop((readSpec(record.id).hooks || {}).poststop, ociState(record, "stopped"));
    } catch (thrown) {
      // without its config.json the container goes all the same
      sys.writeAll(2, `warning: ${(thrown as { message: string }).message}\n`);
    }
  }
  removeRecord(record.id);
}

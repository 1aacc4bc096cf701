import * as c from "../lib/consts.ts";
import { callError, must, type RuntimeError, runtimeError } from "../lib/errors.ts";
import { traced } from "../lib/trace.ts";
import type { CgroupDir, CgroupPlan } from "./plan.ts";
import type { CgroupWrite } from "./resources.ts";

/**
 * Makes the cgroups with their limits; what was made is in `made` for undoing, also when it throws. `init` may be in them
 * already.
 */
export function makeCgroups(plan: CgroupPlan, made: string[], init = -1): void {
  for (let i = 0; i < plan.dirs.length; i++) {
    const dir = plan.dirs[i] as CgroupDir;
    traced(
      "cgroup",
      () => makeCgroup(dir, plan.delegate, made, init),
      () => dir.path,
    );
  }
}

function makeCgroup(dir: CgroupDir, delegate: readonly string[], made: string[], init: number): void {
  makeDir(dir, delegate, made, init);
  if (dir.writes.length === 0) return;
  const fd = must(sys.open(dir.path, c.O_PATH | c.O_DIRECTORY, 0), `open cgroup ${dir.path}`);
  applyWrites(fd, dir.path, dir.writes);
  sys.close(fd);
}

/** False when the parent of one of them may not be written to. */
export function mayMakeCgroups(plan: CgroupPlan): boolean {
  for (let i = 0; i < plan.dirs.length; i++) {
    let path = (plan.dirs[i] as CgroupDir).path;
    let result: number;
    do {
      path = path.substring(0, path.lastIndexOf("/"));
      result = sys.faccessat(c.AT_FDCWD, path, c.W_OK, c.AT_EACCESS);
    } while (result === -c.ENOENT && path !== "");
    if (result < 0) return false;
  }
  return true;
}

function makeDir(dir: CgroupDir, delegate: readonly string[], made: string[], init: number): void {
  let result = sys.mkdirat(c.AT_FDCWD, dir.path, 0o755);
  if (result === -c.ENOENT) {
    makeParents(dir, delegate);
    result = sys.mkdirat(c.AT_FDCWD, dir.path, 0o755);
  } else if (result >= 0 && delegate.length > 0) delegateTo(dir.path.substring(0, dir.path.lastIndexOf("/")), delegate);
  if (result === -c.EEXIST) {
    checkReusable(dir, init);
    made.push(dir.path);
    return;
  }
  if (result < 0) {
    const hint = -result === c.EROFS || -result === c.EACCES ? "run as root with a writable cgroup mount" : undefined;
    throw callError(`make cgroup ${dir.path}`, result, hint);
  }
  made.push(dir.path);
  if (dir.controllers === "cpuset" || dir.controllers.split(",").indexOf("cpuset") >= 0)
    inheritCpuset(dir.path, dir.mountpoint);
}

/** A cgroup that is there already may be used when nobody lives in it and it is not frozen (joining would hang). */
function checkReusable(dir: CgroupDir, init: number): void {
  const procs = sys.readFile(`${dir.path}/cgroup.procs`);
  if (typeof procs === "string" && procs !== "" && procs !== `${init}\n`) {
    throw runtimeError(
      "FailedPrecondition",
      `container's cgroup is not empty: ${dir.path} holds process ${procs.split("\n")[0]}`,
      "choose another linux.cgroupsPath or end that process",
    );
  }
  const frozen = sys.readFile(`${dir.path}/${dir.controllers === "" ? "cgroup.freeze" : "freezer.state"}`);
  if (typeof frozen === "string" && /^(1|FR)/.test(frozen)) {
    throw runtimeError(
      "FailedPrecondition",
      `container's cgroup unexpectedly frozen: ${dir.path}`,
      "thaw it or choose another linux.cgroupsPath",
    );
  }
}

function makeParents(dir: CgroupDir, delegate: readonly string[]): void {
  const parts = dir.path.substring(dir.mountpoint.length).split("/");
  let path = dir.mountpoint;
  const cpuset = dir.controllers.split(",").indexOf("cpuset") >= 0;
  for (let i = 1; i < parts.length - 1; i++) {
    if (delegate.length > 0) delegateTo(path, delegate);
    path += `/${parts[i]}`;
    const result = sys.mkdirat(c.AT_FDCWD, path, 0o755);
    if (result < 0 && result !== -c.EEXIST) throw callError(`make cgroup ${path}`, result);
    if (result >= 0 && cpuset) inheritCpuset(path, dir.mountpoint);
  }
  if (delegate.length > 0) delegateTo(path, delegate);
}

/** A new cpuset of v1 has no cpus and no memory nodes: nothing can join it before it gets its parent's, which may have none either. */
function inheritCpuset(path: string, mountpoint: string): void {
  if (path === mountpoint) return;
  const parent = path.substring(0, path.lastIndexOf("/"));
  const files = ["cpuset.cpus", "cpuset.mems"];
  for (let i = 0; i < files.length; i++) {
    if (sys.readFile(`${path}/${files[i]}`) !== "\n") continue;
    if (sys.readFile(`${parent}/${files[i]}`) === "\n") inheritCpuset(parent, mountpoint);
    const value = sys.readFile(`${parent}/${files[i]}`);
    if (typeof value === "string") sys.writeFileAt(c.AT_FDCWD, `${path}/${files[i]}`, value, c.O_WRONLY, 0);
  }
}

/** Gives controllers on the whole way to a cgroup that is there already. */
export function delegateAbove(dir: CgroupDir, delegate: readonly string[]): void {
  const parts = dir.path.substring(dir.mountpoint.length).split("/");
  let path = dir.mountpoint;
  for (let i = 1; i < parts.length; i++) {
    delegateTo(path, delegate);
    path += `/${parts[i]}`;
  }
}

/** Delegates what the parent has; a controller that is missing there shows when its limit is written. */
function delegateTo(parent: string, wanted: readonly string[]): void {
  const have = sys.readFile(`${parent}/cgroup.controllers`);
  const active = sys.readFile(`${parent}/cgroup.subtree_control`);
  if (typeof have === "number" || typeof active === "number") return;
  for (let i = 0; i < wanted.length; i++) {
    const name = wanted[i] as string;
    const among = (list: string): boolean => ` ${list.replace("\n", "")} `.indexOf(` ${name} `) >= 0;
    if (among(have) && !among(active))
      sys.writeFileAt(c.AT_FDCWD, `${parent}/cgroup.subtree_control`, `+${name}`, c.O_WRONLY, 0);
  }
}

/** Does writes that have the same directory, in order. */
export function applyWrites(fd: number, dir: string, writes: readonly CgroupWrite[]): void {
  for (let i = 0; i < writes.length; i++) {
    const write = writes[i] as CgroupWrite;
    const next = writes[i + 1];
    const refused = tryWrite(fd, dir, write);
    if (!refused) continue;
    if (!write.pair || !next || (refused.errno !== "EINVAL" && refused.errno !== "EBUSY")) throw refused;
    applyWrites(fd, dir, [next]);
    const again = tryWrite(fd, dir, write);
    if (again) throw again;
  }
}

function tryWrite(fd: number, dir: string, write: CgroupWrite): RuntimeError | undefined {
  const file = sys.openat(fd, write.file, c.O_WRONLY, 0);
  if (file < 0) {
    const otherwise = file === -c.ENOENT ? write.otherwise : undefined;
    if (otherwise) return otherwise === "nothing" ? undefined : tryWrite(fd, dir, otherwise);
    return callError(
      `apply ${write.field}: open ${dir}/${write.file}`,
      file,
      file === -c.ENOENT ? "the kernel or the parent cgroup lacks this controller" : undefined,
    );
  }
  for (let i = 0; i < write.lines.length; i++) {
    const line = write.lines[i] as string;
    const result = sys.write(file, line);
    if (result < 0) {
      sys.close(file);
      return callError(`apply ${write.field}: write "${line}" to ${dir}/${write.file}`, result);
    }
  }
  sys.close(file);
  return undefined;
}

/**
 * Moves this process into the v1 cgroups. A thread that moves itself ("0" in `tasks`) is the one case for which the
 * kernel needs no lock on all processes of the system, whose first holder waits for an RCU grace period: 1 to 20 ms.
 */
export function joinSelf(paths: readonly string[]): void {
  for (let i = 0; i < paths.length; i++) {
    const result = sys.writeFileAt(c.AT_FDCWD, `${paths[i]}/tasks`, "0", c.O_WRONLY, 0);
    if (result < 0) throw callError(`error adding pid ${sys.getpid()} to cgroup ${paths[i]}`, result);
  }
}

/**
 * The container's cgroups for a process that asks for groups below them with `exec --cgroup [CONTROLLER,…:]PATH`, once
 * or, for different controllers, more often.
 *
 * @throws InvalidArgument for a path that could lead out of the container's cgroup
 */
export function cgroupsBelow(paths: readonly string[], wanted: readonly string[]): string[] {
  const found = paths.slice();
  for (let i = 0; i < wanted.length; i++) {
    const text = wanted[i] as string;
    const match = /^(?:([a-z_,=0-9]+):)?(.*)$/.exec(text) as RegExpExecArray;
    const below = (match[2] as string).replace(/^\/+|\/+$/g, "");
    if (below.split("/").indexOf("..") >= 0 || below.indexOf("\u0000") >= 0)
      throw runtimeError(
        "InvalidArgument",
        `bad sub cgroup path: --cgroup must stay below the container's cgroup, is "${text}"`,
      );
    const controllers = match[1];
    if (controllers === undefined) choose(paths, found, below, text);
    else {
      const names = controllers.split(",");
      for (let k = 0; k < names.length; k++) choose(paths, found, below, text, names[k]);
    }
  }
  return found;
}

/** Puts the group below into `found` for each hierarchy that has the controller, or for all that have the group. */
function choose(paths: readonly string[], found: string[], below: string, text: string, controller?: string): void {
  let known = false;
  let matched = false;
  for (let i = 0; i < paths.length; i++) {
    const path = paths[i] as string;
    // controllers may share a hierarchy (cpu,cpuacct), whether they are asked for together or not
    if (controller !== undefined && path.split(/[/,]/).indexOf(controller) < 0) continue;
    known = true;
    if (below !== "" && sys.faccessat(c.AT_FDCWD, `${path}/${below}`, 0, 0) < 0) continue;
    matched = true;
    found[i] = below === "" ? path : `${path}/${below}`;
  }
  if (!known)
    throw runtimeError(
      "InvalidArgument",
      `unknown controller "${controller}" in --cgroup: the container has no cgroup of it`,
    );
  if (!matched)
    throw runtimeError(
      "NotFound",
      `error adding pid to the group "${text}" below the container's cgroup (--cgroup): no such file or directory`,
    );
}

/** Directory of the version 2 cgroup that a process is in now; it may have moved below the one it was made in. */
export function unifiedCgroup(pid: number, mountpoint: string, otherwise: string): string {
  const text = sys.readFile(`/proc/${pid}/cgroup`);
  const match = typeof text === "string" ? /^0::(\/.*)$/m.exec(text) : null;
  return match ? mountpoint + match[1] : otherwise;
}

/** Removes the cgroups with whatever groups the container made below; retries while the kernel still ends processes. */
export function removeCgroups(paths: readonly string[]): void {
  for (let i = 0; i < paths.length; i++) {
    const path = paths[i] as string;
    for (let attempt = 0; ; attempt++) {
      const result = sys.unlinkat(c.AT_FDCWD, path, c.AT_REMOVEDIR);
      if (result >= 0 || result === -c.ENOENT) break;
      if (result !== -c.EBUSY || attempt >= 100) throw callError(`remove cgroup ${path}`, result);
      removeChildren(path);
      if (attempt > 0) sys.poll([], attempt < 10 ? 2 : 20, []);
    }
  }
}

function removeChildren(path: string): void {
  const fd = sys.open(path, c.O_RDONLY | c.O_DIRECTORY | c.O_NOFOLLOW, 0);
  if (fd < 0) return;
  const names = sys.readdir(fd);
  if (typeof names !== "number") {
    for (let i = 0; i < names.length; i++) {
      const child = `${path}/${names[i]}`;
      const stat = sys.fstatat(fd, names[i] as string, c.AT_SYMLINK_NOFOLLOW);
      if (typeof stat === "number" || (stat.mode & c.S_IFMT) !== c.S_IFDIR) continue;
      removeChildren(child);
      sys.unlinkat(c.AT_FDCWD, child, c.AT_REMOVEDIR);
    }
  }
  sys.close(fd);
}

/** All processes in the cgroup of one hierarchy and below it. */
export function listProcesses(path: string): number[] {
  const found: number[] = [];
  const text = sys.readFile(`${path}/cgroup.procs`);
  if (typeof text === "string") {
    const lines = text.split("\n");
    for (let i = 0; i < lines.length; i++) if (lines[i]) found.push(Number(lines[i]));
  }
  // a directory of the cgroup file system has two links, and one more for each group below it
  const own = sys.fstatat(c.AT_FDCWD, path, c.AT_SYMLINK_NOFOLLOW);
  if (typeof own === "number" || own.nlink <= 2) return found;
  const fd = sys.open(path, c.O_RDONLY | c.O_DIRECTORY, 0);
  if (fd < 0) return found;
  const names = sys.readdir(fd);
  if (typeof names !== "number") {
    for (let i = 0; i < names.length; i++) {
      const stat = sys.fstatat(fd, names[i] as string, c.AT_SYMLINK_NOFOLLOW);
      if (typeof stat === "number" || (stat.mode & c.S_IFMT) !== c.S_IFDIR) continue;
      const below = listProcesses(`${path}/${names[i]}`);
      for (let k = 0; k < below.length; k++) found.push(below[k] as number);
    }
  }
  sys.close(fd);
  return found;
}

/** True when the freezer of one of the hierarchies says frozen. */
export function isFrozen(paths: readonly string[]): boolean {
  for (let i = 0; i < paths.length; i++) {
    const path = paths[i] as string;
    const v1 = path.indexOf("/freezer/") >= 0;
    const text = sys.readFile(v1 ? `${path}/freezer.state` : `${path}/cgroup.freeze`);
    if (typeof text === "string") return /^(1|FR)/.test(text);
  }
  return false;
}

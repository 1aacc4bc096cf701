import * as c from "../lib/consts.ts";
import { callError, must, runtimeError } from "../lib/errors.ts";
import { isTracing, traced } from "../lib/trace.ts";
import type { Step } from "../plan/steps.ts";
import { ensureInRoot, IN_ROOT, openInRoot, openStrict } from "./inroot.ts";
import { copyLink, openLink } from "./links.ts";
import { rare } from "./rare.ts";
import { openSource } from "./source.ts";
import { bindSysfs } from "./sysfs.ts";

/** What the steps share while init builds its root. */
export interface RootfsState {
  root: number;
  /** The host's /dev/null, verified, for masking files (CVE-2025-31133). */
  hostNull: number;
  /** First masked directory: an empty read-only tmpfs that the others are clones of. */
  emptyDir: number;
  /** Directory of the last device, kept open. */
  devDir: number;
  devDirPath: string;
  /** See InitPlan. */
  trees: readonly number[];
  readonly calls: RootfsCalls;
}

/** Steps that need more than the tree. */
export interface RootfsCalls {
  readonly console: (root: number) => void;
  readonly hooks: (kind: "createRuntime" | "createContainer") => void;
  readonly join: () => void;
}

export function newRootfsState(trees: readonly number[], calls: RootfsCalls): RootfsState {
  return { root: -1, hostNull: -1, emptyDir: -1, devDir: -1, devDirPath: "", trees, calls };
}

/** The only loop with effects in the mount namespace; each step names itself in its error. */
export function applySteps(steps: readonly Step[], state: RootfsState): void {
  const tracing = isTracing();
  for (let i = 0; i < steps.length; i++) {
    const step = steps[i] as Step;
    // these tell what they do by themselves
    const plain = !tracing || step.op === "join" || step.op === "hooks";
    if (plain) applyStep(step, state, i);
    else
      traced(
        step.op,
        () => applyStep(step, state, i),
        () => JSON.stringify(step),
      );
  }
}

function applyStep(step: Step, state: RootfsState, index: number): void {
  switch (step.op) {
    case "propagation":
      setRootPropagation(step.flags);
      return;
    case "root":
      takeRoot(step.path, state, index);
      return;
    case "mount":
      applyMount(step, state);
      return;
    case "bind":
      applyBind(step, state, index);
      return;
    case "device":
      applyDevice(step, state, index);
      return;
    case "symlink":
      applySymlink(step.target, step.path, state);
      return;
    case "mkdir":
      sys.close(ensureInRoot(state.root, step.path, false));
      return;
    case "sysctl":
      applySysctl(step.file, step.value);
      return;
    case "mask":
      applyMask(step.path, state);
      return;
    case "readonly":
      applyReadonly(step.path, state);
      return;
    case "remountReadonly":
      setReadonly(step.path, state);
      return;
    case "console":
      state.calls.console(state.root);
      return;
    case "hooks":
      state.calls.hooks(step.kind);
      return;
    case "join":
      state.calls.join();
      return;
    case "pivot":
      pivot(state);
      return;
    case "moveRoot":
      moveRoot(step.root, state);
      return;
    case "chroot":
      enterRoot(state);
      return;
  }
}

function setRootPropagation(flags: number): void {
  const result = sys.mount("", "/", "", flags, "");
  if (result === 0) return;
  const hint =
    result === -c.EINVAL ? "in a chroot, its root must be a mount point: mount --bind DIR DIR before" : undefined;
  throw callError("set the propagation of the root mount", result, hint);
}

function takeRoot(path: string, state: RootfsState, index: number): void {
  const opened = state.trees[index];
  const tree = opened === undefined || opened < 0 ? openSource(path, true) : opened;
  if (tree < 0)
    throw callError(
      `open rootfs ${path}`,
      tree,
      tree === -c.ENOENT ? "root.path of config.json must name the root filesystem's directory" : undefined,
    );
  let moved = sys.moveMount(tree, "", c.AT_FDCWD, path, c.MOVE_MOUNT_F_EMPTY_PATH);
  // a user namespace's root that may not walk the path: any place will do, since the pivot is by descriptor
  if (moved === -c.EACCES) moved = sys.moveMount(tree, "", c.AT_FDCWD, "/", c.MOVE_MOUNT_F_EMPTY_PATH);
  must(moved, `mount rootfs ${path}`);
  state.root = tree;
  const hostNull = must(sys.open("/dev/null", c.O_PATH | c.O_NOFOLLOW, 0), "open /dev/null");
  const stat = sys.fstat(hostNull);
  if (
    typeof stat === "number" ||
    (stat.mode & c.S_IFMT) !== c.S_IFCHR ||
    stat.rdevMajor !== 1 ||
    stat.rdevMinor !== 3
  ) {
    throw runtimeError("FailedPrecondition", "open /dev/null: it is not the null device (char 1:3)");
  }
  state.hostNull = hostNull;
}

/** By descriptor: a path such as /proc/self/fd/N means what the container wants once its procfs is in place. */
function applyPropagation(fd: number, dest: string, flags: readonly number[]): void {
  for (let i = 0; i < flags.length; i++) {
    const flag = flags[i] as number;
    const below = (flag & c.MS_REC) !== 0 ? c.AT_RECURSIVE : 0;
    const result = sys.mountSetattr(fd, "", c.AT_EMPTY_PATH | below, 0, 0, flag & ~c.MS_REC, -1);
    must(result, `set the propagation of ${dest}`);
  }
}

function applyMount(step: Extract<Step, { op: "mount" }>, state: RootfsState): void {
  const there = step.fstype === "tmpfs" && !step.strict ? openInRoot(state.root, step.dest, 0) : -1;
  const target =
    there >= 0 ? there : step.strict ? openStrict(state.root, step.dest) : ensureInRoot(state.root, step.dest, false);
  let data = step.data;
  // a directory of the image keeps its mode; one made just now says nothing, and tmpfs takes its own 1777
  if (there >= 0 && data.indexOf("mode=") < 0) {
    const below = sys.fstat(target);
    if (typeof below !== "number") data += `${data === "" ? "" : ","}mode=${(below.mode & 0o7777).toString(8)}`;
  }
  must(sys.fchdir(target), `enter ${step.dest}`);
  // writable while it is filled
  const flags = step.copyUp && there >= 0 ? step.flags & ~c.MS_RDONLY : step.flags;
  let result = sys.mount(step.source, ".", step.fstype, flags, data);
  if (result === -c.EINVAL && step.fstype === "devpts" && data.indexOf("gid=") >= 0) {
    // the tty group is not mapped in this user namespace
    result = sys.mount(step.source, ".", step.fstype, flags, data.replace(/,?gid=\d+/, ""));
  }
  // a user namespace without a network namespace of its own has no sysfs either
  if (result === -c.EPERM && step.fstype === "sysfs" && bindSysfs(target, step)) result = 0;
  if (result < 0) throw callError(`mount ${step.fstype} at ${step.dest}`, result);
  if (step.copyUp && there >= 0) {
    const mounted = must(openInRoot(state.root, step.dest, 0), `open ${step.dest} in the rootfs`);
    rare().copyUp(target, mounted, step.dest);
    if (step.flags & c.MS_RDONLY)
      must(
        sys.mountSetattr(mounted, "", c.AT_EMPTY_PATH, c.MOUNT_ATTR_RDONLY, 0, 0, -1),
        `make ${step.dest} read-only`,
      );
    sys.close(mounted);
  }
  sys.close(target);
  if (step.propagation.length > 0) {
    const mounted = must(openInRoot(state.root, step.dest, 0), `open ${step.dest} in the rootfs`);
    applyPropagation(mounted, step.dest, step.propagation);
    sys.close(mounted);
  }
}

function applyBind(step: Extract<Step, { op: "bind" }>, state: RootfsState, index: number): void {
  const what = `bind ${step.source} at ${step.dest}`;
  if (step.links && step.links.copy && copyLink(step.source, step.dest, state.root)) return;
  const opened = state.trees[index];
  const tree = opened === undefined || opened < 0 ? openSource(step.source, step.recursive, step.links) : opened;
  if (tree < 0)
    throw callError(what, tree, tree === -c.ENOENT ? "the source of a bind mount must exist on the host" : undefined);
  const stat = sys.fstat(tree);
  if (typeof stat === "number") throw callError(what, stat);
  if (step.set !== 0 || step.clear !== 0) {
    const implied = step.implied || 0;
    let result = sys.mountSetattr(tree, "", c.AT_EMPTY_PATH, step.set, step.clear | implied, 0, -1);
    // locked in this user namespace; nosymfollow never is
    if (result === -c.EPERM && implied !== 0) {
      const clear = step.clear | (implied & c.MOUNT_ATTR_NOSYMFOLLOW);
      result = sys.mountSetattr(tree, "", c.AT_EMPTY_PATH, step.set, clear, 0, -1);
    }
    must(result, `${what}: set its options`);
  }
  if (step.recSet !== 0 || step.recClear !== 0) {
    must(
      sys.mountSetattr(tree, "", c.AT_EMPTY_PATH | c.AT_RECURSIVE, step.recSet, step.recClear, 0, -1),
      `${what}: set its recursive options`,
    );
  }
  const target =
    step.links && step.links.destination
      ? openLink(state.root, step.dest)
      : ensureInRoot(state.root, step.dest, (stat.mode & c.S_IFMT) !== c.S_IFDIR);
  must(sys.moveMount(tree, "", target, "", c.MOVE_MOUNT_F_EMPTY_PATH | c.MOVE_MOUNT_T_EMPTY_PATH), what);
  sys.close(target);
  applyPropagation(tree, step.dest, step.propagation);
  sys.close(tree);
}

function parentDir(path: string, state: RootfsState): number {
  const slash = path.lastIndexOf("/");
  const parent = slash <= 0 ? "/" : path.substring(0, slash);
  if (state.devDir < 0 || state.devDirPath !== parent) {
    if (state.devDir >= 0) sys.close(state.devDir);
    state.devDir = ensureInRoot(state.root, parent, false);
    state.devDirPath = parent;
  }
  return state.devDir;
}

function applyDevice(step: Extract<Step, { op: "device" }>, state: RootfsState, index: number): void {
  const dir = parentDir(step.path, state);
  const name = step.path.substring(step.path.lastIndexOf("/") + 1);
  const made = state.trees[index];
  if (step.bind) {
    bindDevice(step, dir, name, made === undefined ? -1 : made);
    return;
  }
  const result = sys.mknodat(dir, name, step.mode, step.major, step.minor);
  if (result === -c.EPERM) {
    bindDevice(step, dir, name, -1);
    return;
  }
  if (result === -c.EEXIST) {
    const stat = sys.fstatat(dir, name, c.AT_SYMLINK_NOFOLLOW);
    const same =
      typeof stat !== "number" &&
      (stat.mode & c.S_IFMT) === (step.mode & c.S_IFMT) &&
      stat.rdevMajor === step.major &&
      stat.rdevMinor === step.minor;
    if (!same) throw runtimeError("AlreadyExists", `make device ${step.path}: something else is there in the rootfs`);
  } else must(result, `make device ${step.path}`);
  if (step.uid !== 0 || step.gid !== 0)
    must(sys.fchownat(dir, name, step.uid, step.gid, c.AT_SYMLINK_NOFOLLOW), `chown device ${step.path}`);
}

/** `node`: one that the parent has made, else the host's of the same path. */
function bindDevice(step: Extract<Step, { op: "device" }>, dir: number, name: string, node: number): void {
  const tree = node >= 0 ? node : sys.openTree(c.AT_FDCWD, step.path, c.OPEN_TREE_CLONE);
  if (tree < 0) throw callError(`bind device ${step.path}`, tree);
  const safe = c.MOUNT_ATTR_NOSUID | c.MOUNT_ATTR_NOEXEC;
  must(sys.mountSetattr(tree, "", c.AT_EMPTY_PATH, safe, 0, 0, -1), `bind device ${step.path}: set its options`);
  const made = sys.openat(dir, name, c.O_WRONLY | c.O_CREAT | c.O_EXCL | c.O_NOFOLLOW, 0o666);
  if (made >= 0) sys.close(made);
  const target = must(sys.openat(dir, name, c.O_PATH | c.O_NOFOLLOW, 0), `open ${step.path} in the rootfs`);
  must(
    sys.moveMount(tree, "", target, "", c.MOVE_MOUNT_F_EMPTY_PATH | c.MOVE_MOUNT_T_EMPTY_PATH),
    `bind device ${step.path}`,
  );
  sys.close(target);
  sys.close(tree);
}

function applySymlink(target: string, path: string, state: RootfsState): void {
  const dir = parentDir(path, state);
  const result = sys.symlinkat(target, dir, path.substring(path.lastIndexOf("/") + 1));
  if (result < 0 && result !== -c.EEXIST) throw callError(`make symlink ${path}`, result);
}

/** A procfs of our own, mounted nowhere: no mount of the image can lie in between (CVE-2025-52881). */
export function privateProc(): number {
  const context = must(sys.fsopen("proc", 1), "open a private procfs");
  must(sys.fsconfig(context, 6, "", ""), "make a private procfs");
  const fd = must(
    sys.fsmount(context, 1, c.MOUNT_ATTR_NOSUID | c.MOUNT_ATTR_NODEV | c.MOUNT_ATTR_NOEXEC),
    "mount a private procfs",
  );
  sys.close(context);
  return fd;
}

function applySysctl(file: string, value: string): void {
  const proc = privateProc();
  const resolve = c.RESOLVE_BENEATH | c.RESOLVE_NO_SYMLINKS | c.RESOLVE_NO_XDEV;
  const fd = sys.openat2(proc, `sys/${file}`, c.O_WRONLY, 0, resolve);
  sys.close(proc);
  must(fd, `open sysctl ${file}`);
  const result = sys.write(fd, value);
  sys.close(fd);
  must(result, `write "${value}" to sysctl ${file}`);
}

function applyMask(path: string, state: RootfsState): void {
  const target = sys.openat2(state.root, path.substring(1), c.O_PATH, 0, IN_ROOT);
  if (target === -c.ENOENT || target === -c.ENOTDIR) return;
  must(target, `open ${path} to mask it`);
  const stat = sys.fstat(target);
  if (typeof stat === "number") throw callError(`mask ${path}`, stat);
  const onto = c.MOVE_MOUNT_F_EMPTY_PATH | c.MOVE_MOUNT_T_EMPTY_PATH;
  if ((stat.mode & c.S_IFMT) !== c.S_IFDIR) {
    const tree = must(sys.openTree(state.hostNull, "", c.OPEN_TREE_CLONE | c.AT_EMPTY_PATH), `mask ${path}`);
    must(sys.moveMount(tree, "", target, "", onto), `mask ${path}`);
    sys.close(tree);
  } else if (state.emptyDir < 0) {
    const context = must(sys.fsopen("tmpfs", 1), `mask ${path}`);
    must(sys.fsconfig(context, 6, "", ""), `mask ${path}`);
    const empty = must(
      sys.fsmount(context, 1, c.MOUNT_ATTR_RDONLY | c.MOUNT_ATTR_NOSUID | c.MOUNT_ATTR_NODEV | c.MOUNT_ATTR_NOEXEC),
      `mask ${path}`,
    );
    sys.close(context);
    must(sys.moveMount(empty, "", target, "", onto), `mask ${path}`);
    state.emptyDir = empty;
  } else {
    const tree = must(sys.openTree(state.emptyDir, "", c.OPEN_TREE_CLONE | c.AT_EMPTY_PATH), `mask ${path}`);
    must(sys.moveMount(tree, "", target, "", onto), `mask ${path}`);
    sys.close(tree);
  }
  sys.close(target);
}

function applyReadonly(path: string, state: RootfsState): void {
  const target = sys.openat2(state.root, path.substring(1), c.O_PATH, 0, IN_ROOT);
  if (target === -c.ENOENT || target === -c.ENOTDIR) return;
  must(target, `open ${path} to make it read-only`);
  const step = `make ${path} read-only`;
  const tree = must(sys.openTree(target, "", c.OPEN_TREE_CLONE | c.AT_EMPTY_PATH | c.AT_RECURSIVE), step);
  must(sys.mountSetattr(tree, "", c.AT_EMPTY_PATH | c.AT_RECURSIVE, c.MOUNT_ATTR_RDONLY, 0, 0, -1), step);
  must(sys.moveMount(tree, "", target, "", c.MOVE_MOUNT_F_EMPTY_PATH | c.MOVE_MOUNT_T_EMPTY_PATH), step);
  sys.close(tree);
  sys.close(target);
}

function setReadonly(path: string, state: RootfsState): void {
  const target = must(openInRoot(state.root, path, 0), `open ${path} in the rootfs`);
  must(sys.mountSetattr(target, "", c.AT_EMPTY_PATH, c.MOUNT_ATTR_RDONLY, 0, 0, -1), `make ${path} read-only`);
  sys.close(target);
}

/** pivot_root(".", ".") stacks the old root on the new one; detaching it leaves the new one alone. */
function pivot(state: RootfsState): void {
  must(sys.fchdir(state.root), "enter the rootfs");
  must(sys.pivotRoot(".", "."), "pivot_root into the rootfs");
  must(sys.umount2(".", c.MNT_DETACH), "detach the host's root");
  must(sys.chdir("/"), "enter the new root");
}

function moveRoot(root: string, state: RootfsState): void {
  hideHostProc(root);
  must(sys.fchdir(state.root), "enter the rootfs");
  must(sys.mount(".", "/", "", c.MS_MOVE, ""), "move the rootfs to /");
  enterRoot(state);
}

/**
 * The host's mounts stay in the namespace below a root that was moved over them, and a whole procfs or sysfs among them
 * would let the container mount one without masks.
 */
function hideHostProc(root: string): void {
  const text = sys.readFile("/proc/self/mountinfo");
  const lines = typeof text === "number" ? [] : text.split("\n");
  for (let i = lines.length - 1; i >= 0; i--) {
    const match = /^\S+ \S+ \S+ \S+ (\S+) .* - (proc|sysfs) /.exec(lines[i] as string);
    if (!match) continue;
    const path = (match[1] as string).replace(/\\(\d{3})/g, (_, octal: string) =>
      String.fromCharCode(parseInt(octal, 8)),
    );
    if (path === root || path.indexOf(`${root}/`) === 0) continue;
    if (sys.umount2(path, c.MNT_DETACH) >= 0) continue;
    // a user namespace may not take away what it was given, but may cover it
    must(sys.mount("tmpfs", path, "tmpfs", 0, ""), `hide the host's ${path}`);
  }
}

function enterRoot(state: RootfsState): void {
  must(sys.fchdir(state.root), "enter the rootfs");
  must(sys.chroot("."), "chroot into the rootfs");
  must(sys.chdir("/"), "enter the new root");
}

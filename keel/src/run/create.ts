import { attachDeviceProgram } from "../cgroup/bpf.ts";
import { joinCgroups, listProcesses, makeCgroups, removeCgroups } from "../cgroup/apply.ts";
import { readCgroupLayout } from "../cgroup/layout.ts";
import { planCgroup } from "../cgroup/plan.ts";
import * as c from "../lib/consts.ts";
import { context } from "../lib/context.ts";
import { callError, must, mustGet, type RuntimeError, runtimeError } from "../lib/errors.ts";
import { absolute, clean, parseJson, writeAtomically } from "../lib/files.ts";
import { planNamespaces } from "../plan/namespaces.ts";
import { planProcess } from "../plan/process.ts";
import { planRootfs } from "../plan/rootfs.ts";
import { filterFor } from "../seccomp/compile.ts";
import type { Spec } from "../spec/types.ts";
import { validateSpec } from "../spec/validate.ts";
import { claimId, containerDir, ociState, processStat, type Record, removeRecord, START_SOCKET, writeRecord } from "../state/store.ts";
import { applyResourceLimits } from "./limits.ts";
import { runHooks } from "./hooks.ts";
import { type InitPlan, initMain } from "./init.ts";
import { spawnInit, writeIdMaps } from "./spawn.ts";
import { expectWord } from "./sync.ts";
import { connectConsole, consolePair } from "./terminal.ts";

export interface CreateOptions {
  readonly id: string;
  readonly bundle: string;
  readonly config: string;
  readonly consoleSocket: string;
  readonly pidFile: string;
  readonly noPivot: boolean;
  readonly noNewKeyring: boolean;
  readonly preserveFds: number;
  /** `run`: init goes on to the program without `keel start`. */
  readonly immediate: boolean;
  /** `run` in the foreground with a terminal: we keep the master. */
  readonly keepMaster: boolean;
  readonly trace: boolean;
}

export interface Created {
  readonly record: Record;
  readonly spec: Spec;
  /** Terminal master when `keepMaster`, else -1. */
  readonly master: number;
}

/** Reads, validates and plans; nothing has been touched when it throws. */
function loadBundle(options: { readonly bundle: string; readonly config: string }): { text: string; spec: Spec; bundle: string } {
  const bundle = clean(absolute(options.bundle || "."));
  const path = options.config ? absolute(options.config) : `${bundle}/config.json`;
  const text = sys.readFile(path);
  if (typeof text === "number") throw callError(`open ${path}`, text, "a bundle is a directory with a config.json; `keel spec` writes one");
  return { text, spec: validateSpec(parseJson(text, path)), bundle };
}

/** validate → plan → run. Whatever fails, everything made so far is undone. */
export function createContainer(options: CreateOptions): Created {
  const { text, spec, bundle } = loadBundle(options);
  const linux = spec.linux || {};
  const namespaces = planNamespaces(spec);
  const layout = readCgroupLayout();
  const cgroup = planCgroup(options.id, linux.cgroupsPath, linux.resources, layout);
  const userNamespace = namespaces.newUser || namespaces.joinUser !== "";
  const steps = planRootfs(spec, {
    bundle,
    cgroup: layout,
    cgroupPath: cgroup.cgroupPath,
    cgroupNamespace: namespaces.newCgroup,
    userNamespace,
    noPivot: options.noPivot,
  });
  const process = planProcess(spec.process as NonNullable<Spec["process"]>, linux.seccomp);
  checkTerminal(process.terminal, options);
  const filter = linux.seccomp ? filterFor(linux.seccomp, context().root) : undefined;

  claimId(options.id);
  const made: string[] = [];
  let pid = -1;
  try {
    makeCgroups(cgroup, made);
    if (cgroup.devices) attachDeviceProgram(made[0] as string, cgroup.devices);
    const [mine, theirs] = mustGet(sys.socketpair(5), "make a socket pair");
    const start = options.immediate ? -1 : must(sys.unixListen(`${containerDir(options.id)}/${START_SOCKET}`, 1, 1), "make the start socket");
    let master = -1;
    let consoleSocket = -1;
    if (process.terminal) {
      if (options.keepMaster) [master, consoleSocket] = consolePair();
      else consoleSocket = connectConsole(options.consoleSocket);
    }
    const draft: Record = {
      id: options.id, pid: 0, startTime: "", bundle, rootfs: rootfsOf(spec, bundle), created: sys.rfc3339Nano(),
      ociVersion: spec.ociVersion, annotations: spec.annotations || {}, cgroups: made,
      poststart: !!(spec.hooks && spec.hooks.poststart), poststop: !!(spec.hooks && spec.hooks.poststop), userNamespace,
    };
    const init: InitPlan = {
      id: options.id, spec, namespaces, steps, process, filter, sync: theirs, start, consoleSocket,
      preserveFds: options.preserveFds, newKeyring: !options.noNewKeyring, hookState: ociState(draft, "creating"), trace: options.trace,
      listenPid: options.preserveFds > 0 && process.env.join("\n").indexOf("LISTEN_FDS=") >= 0,
    };
    pid = spawnInit(namespaces, layout.unified ? (made[0] as string) : "", mine, () => initMain(init));
    sys.close(theirs);
    if (start >= 0) sys.close(start);
    if (consoleSocket >= 0) sys.close(consoleSocket);
    if (namespaces.newUser) writeIdMaps(pid, linux.uidMappings || [], linux.gidMappings || []);
    if (!layout.unified) joinCgroups(made, pid);
    const stat = processStat(pid);
    if (!stat) throw runtimeError("Internal", "start the container's init: it ended at once");
    const record: Record = {
      id: draft.id, pid, startTime: stat[1], bundle, rootfs: draft.rootfs, created: draft.created, ociVersion: draft.ociVersion,
      annotations: draft.annotations, cgroups: made, poststart: draft.poststart, poststop: draft.poststop, userNamespace,
    };
    if (spec.hooks) {
      // both run in the runtime's namespaces, with the container's made but not yet entered (runtime-spec "Lifecycle")
      runHooks("prestart", spec.hooks.prestart, ociState(record, "creating"));
      runHooks("createRuntime", spec.hooks.createRuntime, ociState(record, "creating"));
    }
    must(sys.write(mine, "go"), "let the container's init go on");
    expectWord(mine, "ready", () => initDied(pid));
    applyResourceLimits(pid, process);
    if (options.keepMaster && process.terminal) master = receiveMaster(master);
    must(sys.writeFileAt(c.AT_FDCWD, `${containerDir(options.id)}/config.json`, text, c.O_WRONLY | c.O_CREAT | c.O_NOFOLLOW, 0o600), "keep a copy of config.json");
    writeRecord(record);
    if (options.pidFile) writeAtomically(absolute(options.pidFile), String(pid), 0o644);
    if (options.immediate) {
      must(sys.write(mine, "go"), "start the program");
      expectWord(mine, "", () => initDied(pid));
    }
    sys.close(mine);
    return { record, spec, master };
  } catch (thrown) {
    undo(options.id, pid, made);
    throw thrown;
  }
}

function rootfsOf(spec: Spec, bundle: string): string {
  const path = spec.root ? spec.root.path : "rootfs";
  return clean(path.charAt(0) === "/" ? path : `${bundle}/${path}`);
}

function checkTerminal(terminal: boolean, options: CreateOptions): void {
  if (terminal && !options.keepMaster && !options.consoleSocket) {
    throw runtimeError("InvalidArgument", "cannot allocate tty if runc will detach without setting console socket", "pass --console-socket, or set process.terminal to false");
  }
  if (!terminal && options.consoleSocket) {
    throw runtimeError("InvalidArgument", "cannot use console socket if runc will not detach or allocate tty", "set process.terminal to true, or leave --console-socket out");
  }
}

function initDied(pid: number): RuntimeError {
  const out = [0];
  sys.waitpid(pid, 0, out);
  const status = out[0] as number;
  const how = (status & 127) !== 0 ? `killed by signal ${status & 127}` : `exit status ${status >> 8}`;
  return runtimeError("Internal", `start the container's init: it ended before it was ready (${how})`, (status & 127) === 9 ? "a memory limit may be too small for the set-up" : undefined);
}

function receiveMaster(socket: number): number {
  const received = sys.recvFds(socket, 64);
  if (typeof received === "number") throw callError("receive the terminal", received);
  sys.close(socket);
  return received.fds[0] === undefined ? -1 : received.fds[0];
}

/** Back to nothing: processes, cgroups, state directory. */
function undo(id: string, pid: number, cgroups: readonly string[]): void {
  if (pid > 0) {
    sys.kill(pid, c.SIGKILL);
    for (let i = 0; i < cgroups.length && i < 1; i++) {
      const left = listProcesses(cgroups[i] as string);
      for (let k = 0; k < left.length; k++) sys.kill(left[k] as number, c.SIGKILL);
    }
    sys.waitpid(pid, 0, [0]);
  }
  try {
    removeCgroups(cgroups);
  } catch (_) {
    // the first error is the one to tell; `keel delete --force` tries again
  }
  removeRecord(id);
}

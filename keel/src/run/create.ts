import { listProcesses, makeCgroups, removeCgroups } from "../cgroup/apply.ts";
import { attachDeviceProgram } from "../cgroup/bpf.ts";
import { systemd } from "../cgroup/driver.ts";
import * as c from "../lib/consts.ts";
import { must, mustGet, type RuntimeError, runtimeError } from "../lib/errors.ts";
import { absolute, writeAtomically } from "../lib/files.ts";
import { debug, warn } from "../lib/report.ts";
import { changedSignals } from "../lib/signals.ts";
import { startTrace, traced } from "../lib/trace.ts";
import type { Step } from "../plan/steps.ts";
import type { Spec } from "../spec/types.ts";
import {
  claimId,
  configPath,
  containerDir,
  ociState,
  prepareState,
  processStat,
  publishState,
  type Record,
  removeRecord,
  START_SOCKET,
} from "../state/store.ts";
import { type HostMount, removeHostMount } from "./hostmount.ts";
import { initMain } from "./init.ts";
import { applyResourceLimits } from "./limits.ts";
import type { NetDevices } from "./netdevices.ts";
import { beginNetwork, endNetwork, forgetNetwork, type Network } from "./network.ts";
import { makeNotifyDir, managerSocket, type Notify, openNotify } from "./notify.ts";
import { sendPidfd } from "./pidfd.ts";
import { type CreatePlan, type Draft, planCreate } from "./plan.ts";
import { rare } from "./rare.ts";
import { nextReport } from "./seccomp.ts";
import { spawnInit } from "./spawn.ts";
import { expectWord, nextWord, sendGo } from "./sync.ts";
import { connectConsole, consolePair, receiveMaster } from "./terminal.ts";

/** crun's way to name the socket of `--pidfd-socket`. */
const PIDFD_RECEIVER = "run.oci.pidfd_receiver";

export interface CreateOptions {
  readonly id: string;
  readonly bundle: string;
  readonly config: string;
  readonly consoleSocket: string;
  readonly pidFile: string;
  readonly pidfdSocket: string;
  readonly noPivot: boolean;
  readonly noNewKeyring: boolean;
  /** All that the program keeps: the first `listenFds` of them are of socket activation. */
  readonly preserveFds: number;
  readonly listenFds: number;
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
  /** A container that runs already may have something to say to the service manager. */
  readonly notify: Notify | undefined;
}

/** What has to be undone when a create fails, filled while it goes on. */
export interface Undo {
  readonly id: string;
  readonly hostMount: HostMount | undefined;
  readonly cgroups: string[];
  readonly resctrl: string[];
  /** Of systemd, as soon as it was asked to start it: another one of this name is not ours to stop. */
  scope: string;
  pid: number;
}

/** validate → plan → run. Whatever fails, everything made so far is undone. */
export function createContainer(options: CreateOptions): Created {
  const network: Network = { pid: -1 };
  try {
    return planAndLaunch(options, network);
  } finally {
    forgetNetwork(network);
  }
}

function planAndLaunch(options: CreateOptions, network: Network): Created {
  const plan = planCreate({
    id: options.id,
    bundle: options.bundle,
    config: options.config,
    noPivot: options.noPivot,
    begin: ({ networkBeside }) => {
      if (networkBeside) beginNetwork(network);
    },
  });
  checkTerminal(plan.process.terminal, options);
  if (!plan.spec.process && options.immediate)
    throw runtimeError("InvalidArgument", "run the container: its config.json has no process");
  plan.process.warnings.forEach(warn);
  if (options.trace) startTrace("runtime");
  traced("state", () => claimId(options.id));
  const undo: Undo = { id: options.id, hostMount: plan.draft.hostMount, cgroups: [], resctrl: [], scope: "", pid: -1 };
  try {
    if (managerSocket() !== "") makeNotifyDir(options.id);
    return launch(options, plan, undo, network);
  } catch (thrown) {
    undoCreate(undo);
    throw thrown;
  }
}

function sourcesOf({ spec, steps, userNamespace, draft }: CreatePlan): number[] {
  if (!userNamespace && !hasIdMap(steps)) return [];
  const trees = rare().openSources(steps, userNamespace);
  if (userNamespace) {
    rare().refuseUnlocking(steps, trees);
    rare().makeDevices(steps, trees, spec.linux || {}, containerDir(draft.id));
  }
  return trees;
}

function hasIdMap(steps: readonly Step[]): boolean {
  for (let i = 0; i < steps.length; i++) {
    const step = steps[i] as Step;
    if (step.op === "bind" && step.idmap) return true;
  }
  return false;
}

function launch(options: CreateOptions, plan: CreatePlan, undo: Undo, beside: Network): Created {
  const { spec, namespaces } = plan;
  // with a user namespace what init mounts of the cgroups is opened before it is made; systemd needs a process first
  const early = !plan.scope && (plan.unified || plan.userNamespace);
  const home = plan.scope ? "" : makeFirstCgroups(plan, undo, early);
  const [mine, theirs] = mustGet(sys.socketpair(5), "make a socket pair");
  const socket = `${containerDir(options.id)}/${START_SOCKET}`;
  const start = options.immediate ? -1 : must(sys.unixListen(socket, 1, 1), "make the start socket");
  const [masterSocket, consoleSocket] = openConsole(plan, options);
  const trees = sourcesOf(plan);
  const netDevices = findDevices(spec);
  const network = endNetwork(beside);
  const main = (ownTime: boolean): never =>
    initMain({
      id: options.id,
      spec,
      namespaces,
      network,
      ownTime,
      steps: plan.steps,
      trees,
      cgroups: plan.unified ? [] : cgroupPaths(plan),
      process: plan.process,
      schedule: plan.schedule,
      netDevices,
      filter: plan.filter,
      sync: theirs,
      start,
      consoleSocket,
      preserveFds: options.preserveFds,
      listenFds: options.listenFds,
      newKeyring: !options.noNewKeyring,
      hookState: spec.hooks ? ociState(plan.draft, "creating") : {},
      trace: options.trace,
      signals: changedSignals(),
    });
  tellBirth(plan);
  const pid = traced("clone", () => spawnInit(namespaces, home, mine, main));
  undo.pid = pid;
  closeAll(trees.concat([theirs, start, consoleSocket, network]));
  debug(`child process in init(): ${pid}`);
  if (namespaces.newUser) traced("idmaps", () => rare().writeIdMaps(pid, spec.linux || {}));
  if (netDevices) handNetDevices(netDevices, plan.userNamespace ? pid : -1);
  if (!early) makeContainerCgroups(plan, undo, pid);
  joinResctrl(plan, pid, undo);
  sendGo(mine, "let the container's init go on");
  const record = completeDraft(plan.draft, pid, undo);
  prepareRecord(record, plan.text);
  awaitReady(mine, record, spec);
  traced("limits", () => applyResourceLimits(pid, plan.process));
  const master = masterSocket < 0 ? -1 : receiveMaster(masterSocket);
  announce(options, record);
  const notify = options.immediate ? openNotify(options.id) : undefined;
  if (options.immediate) {
    sendGo(mine, "start the program");
    const word = nextReport(mine, pid, () => ({ spec, state: ociState(record, "creating") }));
    expectWord(word, "", () => initDied(pid));
  }
  sys.close(mine);
  return { record, spec, master, notify };
}

function joinResctrl({ resctrl }: CreatePlan, pid: number, undo: Undo): void {
  if (resctrl) traced("resctrl", () => rare().joinResctrl(resctrl, pid, undo.resctrl));
}

/** The container is known from here on. */
function announce(options: CreateOptions, record: Record): void {
  traced("publish", () => publishState(record.id));
  const receiver = options.pidfdSocket || record.annotations[PIDFD_RECEIVER];
  if (receiver) sendPidfd(receiver, record.pid);
  debug("init: closing the pipe to signal completion: it stands before its program");
  if (options.pidFile) writeAtomically(absolute(options.pidFile), String(record.pid), 0o644);
}

/**
 * Init is born in a version 2 cgroup, the path of which this returns, and moves itself into those of version 1 while it
 * builds its root.
 */
export function makeFirstCgroups(plan: CreatePlan, undo: Undo, all: boolean): string {
  const { hybrid } = plan.cgroup;
  if (hybrid) makeCgroups({ dirs: [hybrid], delegate: [], devices: undefined, hybrid: undefined }, undo.cgroups);
  if (all) makeContainerCgroups(plan, undo, -1);
  return hybrid ? hybrid.path : (plan.unified && undo.cgroups[0]) || "";
}

function tellBirth({ filter }: CreatePlan): void {
  if (filter) debug(`seccomp filter flags: ${filter.flags}`);
  debug("nsexec container setup: init is made in its namespaces");
}

function findDevices({ linux }: Spec): NetDevices | undefined {
  return linux && linux.netDevices ? rare().findNetDevices(linux.netDevices) : undefined;
}

/** Root of a user namespace has no right to what is the host's: then they are moved to it; else init takes them. */
function handNetDevices(devices: NetDevices, pid: number): void {
  if (pid >= 0) rare().moveNetDevices(devices, pid, true);
  sys.close(devices.socket);
}

export function makeContainerCgroups(plan: CreatePlan, undo: Undo, pid: number): void {
  const { scope, cgroup } = plan;
  const { devices, hybrid } = cgroup;
  if (scope) {
    traced(
      "scope",
      () => systemd().enterScope(scope, cgroup, pid, undo),
      () => scope.plan.unit,
    );
  } else {
    makeCgroups(cgroup, undo.cgroups);
    // those with limits and a freezer come first
    if (hybrid) undo.cgroups.push(undo.cgroups.shift() as string);
  }
  if (devices) traced("devices", () => attachDeviceProgram(undo.cgroups[0] as string, devices, false));
}

function cgroupPaths(plan: CreatePlan): string[] {
  const paths: string[] = [];
  for (let i = 0; i < plan.cgroup.dirs.length; i++) paths.push((plan.cgroup.dirs[i] as { path: string }).path);
  return paths;
}

/** Init builds its root and stands before its program; in between it may ask for hooks. */
function awaitReady(sync: number, record: Record, spec: Spec): void {
  let word = nextWord(sync);
  if (word === "hooks") {
    const hooks = spec.hooks || {};
    // both run in the runtime's namespaces, with the container's made but not yet entered (runtime-spec "Lifecycle")
    // of old it ran at start, and tools look for the state it saw then
    rare().runHooks("prestart", hooks.prestart, ociState(record, "created"));
    rare().runHooks("createRuntime", hooks.createRuntime, ociState(record, "creating"));
    sendGo(sync, "let the container's init go on");
    word = nextWord(sync);
  }
  if (word !== "ready") throw initDied(record.pid);
}

/** [where the master arrives, what init sends it over]; -1 for none. */
function openConsole(plan: CreatePlan, options: CreateOptions): readonly [number, number] {
  if (!plan.process.terminal) return [-1, -1];
  return options.keepMaster ? consolePair() : [-1, connectConsole(options.consoleSocket)];
}

function closeAll(fds: readonly number[]): void {
  for (let i = 0; i < fds.length; i++) if ((fds[i] as number) >= 0) sys.close(fds[i] as number);
}

export function completeDraft(draft: Draft, pid: number, { cgroups, resctrl }: Undo): Record {
  const stat = processStat(pid);
  if (!stat) throw runtimeError("Internal", "start the container's init: it ended at once");
  draft.pid = pid;
  draft.startTime = stat[1];
  draft.cgroups = cgroups;
  draft.resctrl = resctrl;
  return draft;
}

/** Everything but the rename that makes the container known: init is busy meanwhile. */
export function prepareRecord(record: Record, config: string): void {
  const path = configPath(record.id);
  const flags = c.O_WRONLY | c.O_CREAT | c.O_NOFOLLOW;
  must(sys.writeFileAt(c.AT_FDCWD, path, config, flags, 0o600), "keep a copy of config.json");
  prepareState(record);
}

function checkTerminal(terminal: boolean, options: CreateOptions): void {
  if (terminal && !options.keepMaster && !options.consoleSocket) {
    throw runtimeError(
      "InvalidArgument",
      "cannot allocate tty if runc will detach without setting console socket",
      "pass --console-socket, or set process.terminal to false",
    );
  }
  if (!terminal && options.consoleSocket) {
    throw runtimeError(
      "InvalidArgument",
      "cannot use console socket if runc will not detach or allocate tty",
      "set process.terminal to true, or leave --console-socket out",
    );
  }
}

function initDied(pid: number): RuntimeError {
  const out = [0];
  sys.waitpid(pid, 0, out);
  const status = out[0] as number;
  const killed = status & 127;
  const how = killed !== 0 ? `killed by signal ${killed}` : `exit status ${status >> 8}`;
  const hint = killed === c.SIGKILL ? "a memory limit may be too small for the set-up" : undefined;
  return runtimeError("Internal", `start the container's init: it ended before it was ready (${how})`, hint);
}

/** Back to nothing: processes, cgroups, state directory. */
export function undoCreate(undo: Undo): void {
  if (undo.pid > 0) {
    sys.kill(undo.pid, c.SIGKILL);
    const left = undo.cgroups[0] === undefined ? [] : listProcesses(undo.cgroups[0]);
    for (let i = 0; i < left.length; i++) sys.kill(left[i] as number, c.SIGKILL);
    sys.waitpid(undo.pid, 0, [0]);
  }
  if (undo.hostMount) removeHostMount(undo.hostMount);
  try {
    removeCgroups(undo.cgroups);
    if (undo.scope !== "") systemd().removeScope(undo.scope, undo.cgroups);
  } catch {
    // the first error is the one to tell; `keel delete --force` tries again
  }
  if (undo.resctrl.length > 0) rare().removeResctrl(undo.resctrl);
  removeRecord(undo.id);
}

import { joinSelf } from "../cgroup/apply.ts";
import * as c from "../lib/consts.ts";
import { envValue, withEnv } from "../lib/env.ts";
import { callError, must, runtimeError } from "../lib/errors.ts";
import { startTrace, traced } from "../lib/trace.ts";
import type { NamespacePlan } from "../plan/namespaces.ts";
import type { ProcessPlan } from "../plan/process.ts";
import type { SchedulePlan } from "../plan/schedule.ts";
import type { Step } from "../plan/steps.ts";
import type { Filter } from "../seccomp/filter.ts";
import type { Spec } from "../spec/types.ts";
import { resetAffinity } from "./affinity.ts";
import { becomeProgram, completeEnv, prepareStdio } from "./become.ts";
import { closeOthers } from "./fds.ts";
import { applyOwnLimits } from "./limits.ts";
import type { NetDevices } from "./netdevices.ts";
import { enterNetwork, unshareOwn } from "./network.ts";
import { rare } from "./rare.ts";
import { applySteps, newRootfsState } from "./rootfs.ts";
import { confineHook, loadFilter } from "./seccomp.ts";
import { sendError } from "./sync.ts";
import { mountConsole, openTerminal, sendMaster, takeTerminal } from "./terminal.ts";

/** All that init needs; decided by the parent before the clone, inherited by the address space. */
export interface InitPlan {
  readonly id: string;
  readonly spec: Spec;
  readonly namespaces: NamespacePlan;
  /** The network namespace if it is made already, else -1. */
  readonly network: number;
  /** The time namespace is yet to be made. */
  readonly ownTime: boolean;
  readonly steps: readonly Step[];
  /** Of the steps that mount something of the host: its tree, opened by the parent; else -1 or nothing. */
  readonly trees: readonly number[];
  readonly process: ProcessPlan;
  readonly schedule: SchedulePlan | undefined;
  readonly netDevices: NetDevices | undefined;
  readonly filter: Filter | undefined;
  /** Version 1 cgroups to join; with version 2 init is born in its own. */
  readonly cgroups: readonly string[];
  /** Seqpacket to the parent: we get "go", it gets one message per stage. */
  readonly sync: number;
  /** Listening socket for `keel start`; -1: go on at once (`run`). */
  readonly start: number;
  readonly consoleSocket: number;
  /** Descriptors 3 … 3 + n - 1 stay open for the program. */
  readonly preserveFds: number;
  readonly listenFds: number;
  readonly newKeyring: boolean;
  readonly hookState: { readonly [key: string]: unknown };
  readonly trace: boolean;
  /** See changedSignals. */
  readonly signals: readonly number[] | undefined;
}

const KEYCTL_JOIN_SESSION_KEYRING = 1;

/** HUP, INT and TERM end a container that waits for its start, as they end a program that says nothing of signals. */
const ENDING_SIGNALS = [1, 2, 15];

/** Init's life from the clone to execve. Never returns. */
export function initMain(plan: InitPlan): never {
  // where to report: the parent, and after `keel start` that one's connection
  const report = { fd: plan.sync };
  try {
    runInit(plan, report);
  } catch (thrown) {
    sendError(report.fd, thrown);
  }
  return sys.exit(1);
}

function runInit(plan: InitPlan, report: { fd: number }): void {
  const { namespaces, process } = plan;
  if (plan.trace) startTrace("init");
  traced("session", () => must(sys.setsid(), "start a session"));
  if (namespaces.ownFlags !== 0) traced("unshare", () => unshareOwn(namespaces.ownFlags));
  if (namespaces.networkBeside) enterNetwork(plan.network);
  const mapped = namespaces.newUser || namespaces.joinUser !== "";
  const early = mapped || namespaces.joinMount !== "";
  // the cgroups belong to the host's root, and a joined mount namespace may not show them
  if (early) joinCgroup(plan);
  if (namespaces.joinMount !== "") traced("mountns", () => joinMountNamespace(namespaces.joinMount));
  if (mapped) traced("root", becomeMappedRoot);
  if (plan.ownTime) traced("time", () => rare().enterOwnTime(namespaces.timeOffsets));
  if (namespaces.newNetwork && !namespaces.networkBeside)
    traced("loopback", () => must(sys.interfaceUp("lo"), "bring up the loopback interface"));
  const devices = plan.netDevices;
  if (devices) traced("netdevices", () => takeNetDevices(devices, mapped));
  if (plan.newKeyring) traced("keyring", () => joinKeyring(plan.id));
  if (plan.spec.hostname || plan.spec.domainname) traced("names", () => setNames(plan.spec));
  const slave = buildRoot(plan, early);
  if (slave >= 0) traced("terminal", () => takeTerminal(slave));
  // what still points to the host goes before anything of the image is looked at (CVE-2024-21626)
  traced("close", () => closeOthers(plan.preserveFds, plan.start < 0 ? [plan.sync] : [plan.sync, plan.start]));
  const env = withListenFds(plan.listenFds, completeEnv(process));
  if (slave < 0) traced("stdio", () => prepareStdio(process));
  const program = becomeProgram({ plan: process, schedule: plan.schedule, env, sync: plan.sync });
  sys.write(plan.sync, "ready");
  report.fd = awaitStart(plan);
  applyOwnLimits(process);
  if (program === "") throw runtimeError("FailedPrecondition", "start the container: its config.json has no process");
  const hooks = plan.spec.hooks && plan.spec.hooks.startContainer;
  sys.resetSignals(plan.signals);
  if (hooks) rare().runHooks("startContainer", hooks, plan.hookState, { env, confine: () => confineHook(plan.filter) });
  // told before it is done: the filter may forbid the telling, and execve is the end of us
  if (plan.filter) traced("filter", () => undefined);
  traced(
    "execve",
    () => undefined,
    () => program,
  );
  loadFilter(plan.filter, report.fd);
  // after the filter nothing but execve; a failure is told if the filter lets us
  const result = sys.execve(program, process.args, env);
  sendError(report.fd, callError(`exec ${program}`, result));
  sys.exit(result === -c.ENOENT ? 127 : 126);
}

/** With a user namespace the parent has moved them before it let us go. */
function takeNetDevices(devices: NetDevices, moved: boolean): void {
  if (!moved) {
    const own = must(sys.open("/proc/self/ns/net", c.O_RDONLY, 0), "open the container's network namespace");
    rare().moveNetDevices(devices, own, false);
    sys.close(own);
  }
  rare().configureNetDevices(devices);
}

function setNames({ hostname, domainname }: Spec): void {
  if (hostname) must(sys.sethostname(hostname), `set hostname to ${hostname}`);
  if (domainname) must(sys.setdomainname(domainname), `set domainname to ${domainname}`);
}

/** systemd's protocol names the pid that may take the sockets: it is the container's first. */
function withListenFds(count: number, env: readonly string[]): readonly string[] {
  if (count === 0) return env;
  const names = envValue(sys.environ(), "LISTEN_FDNAMES");
  const told = withEnv(withEnv(env, "LISTEN_FDS", String(count)), "LISTEN_PID", "1");
  return names === undefined ? told : withEnv(told, "LISTEN_FDNAMES", names);
}

/** Root inside the new user namespace; dumpable again would let the container trace us, so it stays off. */
function becomeMappedRoot(): void {
  must(sys.setresgid(0, 0, 0), "become root in the user namespace");
  must(sys.setresuid(0, 0, 0), "become root in the user namespace");
}

function awaitGo(plan: InitPlan): void {
  // the end of the stream: the parent is gone, and nobody would hear of an error
  if (sys.read(plan.sync, 16) !== "go") sys.exit(1);
}

/** The parent has made the cgroups, and written the id maps. */
function joinCgroup(plan: InitPlan): void {
  awaitGo(plan);
  traced("join", () => joinOwnCgroup(plan));
}

function joinOwnCgroup(plan: InitPlan): void {
  joinSelf(plan.cgroups);
  resetAffinity();
  if (plan.namespaces.newCgroup) must(sys.unshare(c.CLONE_NEWCGROUP), "make a cgroup namespace");
}

function joinMountNamespace(path: string): void {
  const fd = must(sys.open(path, c.O_RDONLY, 0), `open ${path}`);
  must(sys.setns(fd, c.CLONE_NEWNS), `join mount namespace ${path}`);
  sys.close(fd);
}

/** Builds the root and enters it; returns the terminal's slave or -1. */
function buildRoot(plan: InitPlan, joined: boolean): number {
  let slave = -1;
  sys.umask(0);
  const state = newRootfsState(plan.trees, {
    console: (root) => {
      const resolve = c.RESOLVE_IN_ROOT | c.RESOLVE_NO_SYMLINKS;
      const pts = must(
        sys.openat2(root, "dev/pts", c.O_PATH | c.O_DIRECTORY, 0, resolve),
        "open /dev/pts for the terminal (mounts must hold a devpts)",
      );
      const terminal = openTerminal(pts, "ptmx", plan.process);
      sys.close(pts);
      slave = terminal.slave;
      sendMaster(plan.consoleSocket, terminal.master);
      sys.close(terminal.master);
      mountConsole(root, slave);
    },
    hooks: (kind) => {
      traced("hooks", () => undefined);
      if (kind === "createContainer") {
        must(sys.fchdir(state.root), "enter the rootfs for the hooks");
        rare().runHooks(kind, plan.spec.hooks && plan.spec.hooks[kind], plan.hookState);
      } else {
        sys.write(plan.sync, "hooks");
        awaitGo(plan);
      }
    },
    join: () => {
      if (!joined) joinCgroup(plan);
    },
  });
  applySteps(plan.steps, state);
  return slave;
}

function joinKeyring(id: string): void {
  const keyctl = sys.syscallNumber("keyctl");
  // without key support or quota the program shares the caller's keyring, as with --no-new-keyring
  if (keyctl >= 0) sys.syscall(keyctl, KEYCTL_JOIN_SESSION_KEYRING, `_ses.${id}`);
}

/** Waits for `keel start`; returns where to report what fails from now on. It closes by execve, which means success. */
function awaitStart(plan: InitPlan): number {
  if (plan.start < 0) {
    // the parent sets rlimits and records the state before it lets us go
    if (sys.read(plan.sync, 16) !== "go") sys.exit(1);
    return plan.sync;
  }
  sys.close(plan.sync);
  // the kernel keeps them from the first process of a pid namespace, unless it asks for them
  sys.sigprocmask(0, ENDING_SIGNALS);
  const signals = must(sys.signalfd(ENDING_SIGNALS), "watch for signals");
  const ready: number[] = [];
  for (;;) {
    if (sys.poll([plan.start, c.POLLIN, signals, c.POLLIN], -1, ready) < 0) continue;
    const signal = ready[1] ? sys.readSignalfd(signals) : 0;
    if (typeof signal !== "number") sys.exit(128 + (signal[0] as number));
    if (!ready[0]) continue;
    const connection = sys.accept(plan.start);
    if (connection === -c.EINTR) continue;
    must(connection, "wait for start");
    sys.close(signals);
    sys.close(plan.start);
    sys.read(connection, 1);
    return connection;
  }
}

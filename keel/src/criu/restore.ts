import { oneId, type ParsedArgs, parseArgs } from "../lib/args.ts";
import * as c from "../lib/consts.ts";
import { callError, must, runtimeError } from "../lib/errors.ts";
import { absolute, ensureDirs, writeAtomically } from "../lib/files.ts";
import {
  completeDraft,
  makeContainerCgroups,
  makeFirstCgroups,
  prepareRecord,
  type Undo,
  undoCreate,
} from "../run/create.ts";
import { attend, openSignals } from "../run/foreground.ts";
import { runHooks } from "../run/hooks.ts";
import { ensureInRoot } from "../run/inroot.ts";
import { deleteContainer } from "../run/kill.ts";
import { type CreatePlan, planCreate } from "../run/plan.ts";
import { connectConsole, sendMaster } from "../run/terminal.ts";
import type { Namespace, Spec, SpecMount } from "../spec/types.ts";
import { claimId, containerDir, ociState, publishState } from "../state/store.ts";
import { emptyNamespaces, imagePath, passedThrough, RESTORE_FLAGS } from "./flags.ts";
import { type Answer, encodeRequest, joinOptions, type Options, RESTORE } from "./messages.ts";
import { bindMounts, deviceNames, missingMountPoints } from "./mounts.ts";
import { FIRST_INHERITED, findCriu, request, startCriu } from "./service.ts";
import { configFile, DESCRIPTORS, joinedNamespaces, NAMESPACE_KEYS, ownNetwork } from "./world.ts";

const LOG = "restore.log";

/** What stays open while CRIU works, and the terminal that it found. */
interface Held {
  readonly images: string;
  readonly work: string;
  readonly what: string;
  readonly consoleSocket: string;
  master: number;
}

/** `keel restore`: a container that was checkpointed, from its files. Whatever fails, nothing is left. */
export function restore(args: readonly string[]): number {
  const parsed = parseArgs(args, RESTORE_FLAGS);
  const id = oneId("restore", parsed.rest);
  const { values } = parsed;
  const what = `restore container ${id}`;
  const images = imagePath(parsed);
  requireImages(images, what);
  const program = findCriu(what);
  const work = values["work-path"] ? absolute(values["work-path"]) : images;
  ensureDirs(work, 0o700);
  const plan = planCreate({
    id,
    bundle: values["bundle"] || "",
    config: "",
    noPivot: values["no-pivot"] === "true",
    dry: true,
  });
  if (plan.draft.hostMount) throw runtimeError("Unimplemented", `${what}: it has no mount namespace of its own`);
  const held: Held = { images, work, what, consoleSocket: values["console-socket"] || "", master: -1 };
  const detach = values["detach"] === "true";
  const signals = detach ? -1 : openSignals();
  claimId(id);
  const undo: Undo = { id, hostMount: undefined, cgroups: [], resctrl: [], scope: "", pid: -1 };
  try {
    const pid = launch(program, plan, undo, held, parsed);
    undo.pid = pid;
    const record = completeDraft(plan.draft, pid, undo);
    plan.draft.namespaces = plan.draft.namespaces | ownTime(pid);
    prepareRecord(record, plan.text);
    publishState(id);
    if (values["pid-file"]) writeAtomically(absolute(values["pid-file"]), String(pid), 0o644);
  } catch (thrown) {
    undoCreate(undo);
    throw thrown;
  }
  if (detach) return 0;
  const code = attend(undo.pid, held.master, signals);
  deleteContainer(id, true);
  return code;
}

function requireImages(images: string, what: string): void {
  const result = sys.faccessat(c.AT_FDCWD, `${images}/inventory.img`, 0, 0);
  if (result >= 0) return;
  const hint = "--image-path names the directory that `checkpoint --image-path` filled";
  throw callError(`${what}: open checkpoint image ${images}/inventory.img`, result, hint);
}

/** Returns the pid of the restored init, which is our child. */
function launch(program: string, plan: CreatePlan, undo: Undo, held: Held, parsed: ParsedArgs): number {
  const { spec, draft } = plan;
  const root = `${containerDir(undo.id)}/criu-root`;
  must(sys.mkdirat(c.AT_FDCWD, root, 0o755), `make directory ${root}`);
  makeMountPoints(spec, draft.rootfs, draft.bundle);
  const [inherited, inherit] = openNamespaces(spec);
  const stdio = readStdio(held);
  for (let i = 0; i < stdio.length; i++) {
    const name = stdio[i] as string;
    if (/^(pipe:|file\[)/.test(name)) inherit.push([name, i]);
  }
  let cgroupRoots: Options["cgroupRoots"] = [];
  const ready = (pid: number): void => {
    if (!plan.scope) makeFirstCgroups(plan, undo, true);
    else makeContainerCgroups(plan, undo, pid);
    cgroupRoots = enterCgroups(pid, undo.cgroups);
  };
  const before = (): void => mountRoot(draft.rootfs, root);
  const service = startCriu({ program, dirs: [held.images, held.work], inherited, ready, before }, held.what);
  const [imagesDir, workDir] = service.dirs as [number, number];
  for (let i = 0; i < inherited.length; i++) sys.close(inherited[i] as number);
  const passed = passedThrough(parsed);
  const own: Options = {
    manageCgroups: passed.manageCgroups,
    imagesDir,
    workDir,
    logFile: LOG,
    root,
    rstSibling: true,
    evasiveDevices: true,
    mounts: bindMounts(spec, draft.bundle).concat(deviceNames(spec)),
    inherit,
    joins: joinsOf(spec),
    cgroupRoots,
    emptyNamespaces: emptyNamespaces(parsed) | ownNetwork(spec),
  };
  const bytes = encodeRequest(RESTORE, joinOptions<Options>([passed, configFile(draft.annotations), own]));
  const { pid } = request(service, bytes, `${held.work}/${LOG}`, held.what, (answer, fds) =>
    notified(answer, fds, plan, held),
  );
  // in our mount namespace nothing is mounted on it
  sys.unlinkat(c.AT_FDCWD, root, c.AT_REMOVEDIR);
  return pid;
}

/** CRIU wants a root that is a mount point. It gets it in a mount namespace that ends with it. */
function mountRoot(rootfs: string, at: string): void {
  must(sys.unshare(c.CLONE_NEWNS), "make a mount namespace for CRIU");
  must(sys.mount("", "/", "", c.MS_SLAVE | c.MS_REC, ""), "keep CRIU's mounts from the host");
  must(sys.mount(rootfs, at, "", c.MS_BIND | c.MS_REC, ""), `bind ${rootfs} at ${at}`);
}

/** As create makes them: the rootfs may be a new copy. */
function makeMountPoints(spec: Spec, rootfs: string, bundle: string): void {
  const root = must(sys.open(rootfs, c.O_PATH | c.O_DIRECTORY, 0), `open rootfs ${rootfs}`);
  const points = missingMountPoints(spec.mounts || []);
  for (let i = 0; i < points.length; i++) {
    const { destination, source } = points[i] as SpecMount;
    const from = source === undefined ? -1 : sys.fstatat(c.AT_FDCWD, absoluteIn(bundle, source), 0);
    const file = typeof from !== "number" && (from.mode & c.S_IFMT) !== c.S_IFDIR;
    sys.close(ensureInRoot(root, destination, file));
  }
  sys.close(root);
}

const absoluteIn = (bundle: string, path: string): string => (path.charAt(0) === "/" ? path : `${bundle}/${path}`);

/** [what CRIU inherits, by which keys]: namespaces that are there already. */
function openNamespaces(spec: Spec): readonly [readonly number[], [string, number][]] {
  const fds: number[] = [];
  const inherit: [string, number][] = [];
  const joined = joinedNamespaces(spec);
  for (let i = 0; i < joined.length; i++) {
    const { type, path } = joined[i] as Namespace & { readonly path: string };
    const key = NAMESPACE_KEYS[type];
    if (!key) continue;
    inherit.push([key[1], FIRST_INHERITED + fds.length]);
    fds.push(must(sys.open(path, c.O_RDONLY, 0), `open ${type} namespace ${path}`));
  }
  return [fds, inherit];
}

/** Those that CRIU joins by itself. */
function joinsOf(spec: Spec): readonly (readonly [string, string])[] {
  const found: (readonly [string, string])[] = [];
  const joined = joinedNamespaces(spec);
  for (let i = 0; i < joined.length; i++) {
    const { type, path } = joined[i] as Namespace & { readonly path: string };
    if (type === "ipc" || type === "uts" || type === "time") found.push([type, path]);
  }
  return found;
}

function readStdio({ images, what }: Held): readonly string[] {
  const path = `${images}/${DESCRIPTORS}`;
  const text = sys.readFile(path);
  if (typeof text === "number") throw callError(`${what}: read ${path}`, text);
  try {
    const names = JSON.parse(text) as unknown;
    if (Object.prototype.toString.call(names) === "[object Array]") return (names as unknown[]).map(String).slice(0, 3);
  } catch {
    // said below
  }
  throw runtimeError("DataLoss", `${what}: read ${path}: it is no list of three names`);
}

/** What CRIU restores is born where it is itself. Returns its cgroups as [controller, path]. */
function enterCgroups(pid: number, cgroups: readonly string[]): readonly (readonly [string, string])[] {
  for (let i = 0; i < cgroups.length; i++) {
    const file = `${cgroups[i]}/cgroup.procs`;
    must(sys.writeFileAt(c.AT_FDCWD, file, String(pid), c.O_WRONLY, 0), `move CRIU to cgroup ${cgroups[i]}`);
  }
  const roots: (readonly [string, string])[] = [];
  const text = sys.readFile(`/proc/${pid}/cgroup`);
  const lines = typeof text === "string" ? text.split("\n") : [];
  for (let i = 0; i < lines.length; i++) {
    const match = /^\d+:([^:]*):(.*)$/.exec(lines[i] as string);
    const names = match ? (match[1] as string).split(",") : [];
    for (let k = 0; match && k < names.length; k++) roots.push([names[k] as string, match[2] as string]);
  }
  return roots;
}

function notified({ script, pid }: Answer, fds: readonly number[], plan: CreatePlan, held: Held): void {
  if (script === "orphan-pts-master" && fds[0] !== undefined) {
    if (held.consoleSocket !== "") {
      const socket = connectConsole(held.consoleSocket);
      sendMaster(socket, fds[0]);
      sys.close(socket);
    } else held.master = must(sys.dupMin(fds[0], 3), "keep the terminal");
  }
  if (script !== "setup-namespaces") return;
  if (ownNetwork(plan.spec) !== 0) raiseLoopback(pid);
  const hooks = plan.spec.hooks || {};
  plan.draft.pid = pid;
  runHooks("prestart", hooks.prestart, ociState(plan.draft, "created"));
  runHooks("createRuntime", hooks.createRuntime, ociState(plan.draft, "creating"));
}

/** The new network is empty, as that of a new container is before this. */
function raiseLoopback(pid: number): void {
  const child = sys.clone(0, -1);
  if (child === 0) {
    const fd = sys.open(`/proc/${pid}/ns/net`, c.O_RDONLY, 0);
    sys.exit(fd >= 0 && sys.setns(fd, c.CLONE_NEWNET) >= 0 && sys.interfaceUp("lo") >= 0 ? 0 : 1);
  }
  const out = [0];
  if (child < 0 || sys.waitpid(child, 0, out) !== child || out[0] !== 0)
    throw runtimeError("FailedPrecondition", "raise the loopback interface of the restored network");
}

/** CRIU puts what it restores into a time namespace, so that its clocks go on; exec must join it. */
function ownTime(pid: number): number {
  const theirs = sys.readlinkat(c.AT_FDCWD, `/proc/${pid}/ns/time`);
  const ours = sys.readlinkat(c.AT_FDCWD, "/proc/self/ns/time");
  return typeof theirs === "string" && theirs !== ours ? c.CLONE_NEWTIME : 0;
}

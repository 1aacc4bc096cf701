import { mayMakeCgroups } from "../cgroup/apply.ts";
import { systemd } from "../cgroup/driver.ts";
import { type CgroupLayout, readCgroupLayout } from "../cgroup/layout.ts";
import { type CgroupPlan, planCgroup, planNoCgroup } from "../cgroup/plan.ts";
import type { Scope } from "../cgroup/systemd.ts";
import * as c from "../lib/consts.ts";
import { context } from "../lib/context.ts";
import { callError, runtimeError } from "../lib/errors.ts";
import { absolute, clean, parseJson } from "../lib/files.ts";
import { isRootless } from "../lib/userns.ts";
import { type NamespacePlan, planNamespaces } from "../plan/namespaces.ts";
import { type ProcessPlan, planProcess } from "../plan/process.ts";
import { planRootfs } from "../plan/rootfs.ts";
import type { SchedulePlan } from "../plan/schedule.ts";
import type { Step } from "../plan/steps.ts";
import { type Filter, filterFor } from "../seccomp/filter.ts";
import type { Process, Spec } from "../spec/types.ts";
import { validateSpec } from "../spec/validate.ts";
import type { Record } from "../state/store.ts";
import { planHostMount } from "./hostmount.ts";
import { addNotify, managerSocket } from "./notify.ts";
import { checkNamespacePaths } from "./nscheck.ts";
import { rare, scheduleOf } from "./rare.ts";
import type { ResctrlPlan } from "./resctrl.ts";

/** Everything that is decided before anything is touched. */
export interface CreatePlan {
  /** config.json as it was read. */
  readonly text: string;
  readonly spec: Spec;
  readonly namespaces: NamespacePlan;
  readonly cgroup: CgroupPlan;
  /** The unit that the cgroup lies in, under `--systemd-cgroup`. */
  readonly scope: Scope | undefined;
  readonly unified: boolean;
  readonly userNamespace: boolean;
  readonly steps: readonly Step[];
  readonly process: ProcessPlan;
  readonly schedule: SchedulePlan | undefined;
  readonly filter: Filter | undefined;
  readonly resctrl: ResctrlPlan | undefined;
  /** The state to come; pid, start time and cgroups are put in when there are any. */
  readonly draft: Draft;
}

export type Draft = { -readonly [key in keyof Record]: Record[key] };

export interface PlanOptions {
  readonly id: string;
  readonly bundle: string;
  readonly config: string;
  readonly noPivot: boolean;
  /** Leave no trace, not even a compiled filter in the cache. */
  readonly dry?: boolean;
  /** The configuration is valid and these are its namespaces: the rest is planned when this returns. */
  readonly begin?: (namespaces: NamespacePlan) => void;
}

/** runtime-spec wants a process only when the container starts: create makes all the rest, start refuses. */
const NO_PROCESS: Process = { args: [], cwd: "/" };

/** Reads, validates and plans. */
export function planCreate(options: PlanOptions): CreatePlan {
  const bundle = clean(absolute(options.bundle || "."));
  const path = options.config ? absolute(options.config) : `${bundle}/config.json`;
  const text = sys.readFile(path);
  if (typeof text === "number")
    throw callError(`open ${path}`, text, "a bundle is a directory with a config.json; `keel spec` writes one");
  const spec = validateSpec(parseJson(text, path));
  checkNamespacePaths(spec);
  if (spec.process && managerSocket() !== "") addNotify(spec, options.id);
  const namespaces = planNamespaces(spec);
  if (options.begin) options.begin(namespaces);
  if (namespaces.newUser && spec.linux) mapOwnIds(spec.linux);
  const linux = spec.linux || {};
  const layout: CgroupLayout = readCgroupLayout();
  const told = context().rootless;
  const rootless = told === "auto" ? isRootless() : told === "true";
  const { cgroup, scope } = placeCgroup(options.id, spec, layout, rootless);
  const userNamespace = namespaces.newUser || namespaces.joinUser !== "";
  const steps = planRootfs(spec, {
    bundle,
    cgroup: layout,
    cgroupDirs: cgroup.dirs,
    cgroupNamespace: namespaces.newCgroup,
    // a caller in a user namespace, such as rootless podman, may not make devices either
    userNamespace: userNamespace || rootless,
    noPivot: options.noPivot,
    selinux: !!linux.mountLabel && sys.faccessat(c.AT_FDCWD, "/sys/fs/selinux/enforce", 0, 0) >= 0,
    hostMounts: !namespaces.mount,
  });
  const program = spec.process || NO_PROCESS;
  const process = planProcess(program, linux.seccomp, spec.annotations);
  const schedule = scheduleOf(program, linux);
  const resctrl = linux.intelRdt ? rare().planResctrl(linux.intelRdt, options.id, rare().findResctrl()) : undefined;
  if (linux.seccomp && (spec.annotations || {})["run.oci.seccomp_fail_unknown_syscall"] === "1")
    rare().refuseUnknownCalls(linux.seccomp);
  const filter = linux.seccomp ? filterFor(linux.seccomp, options.dry ? "" : context().root) : undefined;
  const draft = draftOf(options.id, spec, bundle);
  draft.userNamespace = userNamespace;
  draft.unified = layout.unified;
  draft.namespaces = namespaces.all;
  draft.hybrid = cgroup.hybrid ? cgroup.hybrid.path : "";
  draft.ownPids = (namespaces.cloneFlags & c.CLONE_NEWPID) !== 0;
  if (!namespaces.mount) draft.hostMount = planHostMount(draft.rootfs);
  draft.scope = scope ? scope.plan.unit : "";
  return {
    text,
    spec,
    namespaces,
    cgroup,
    scope,
    unified: layout.unified,
    userNamespace,
    steps,
    process,
    schedule,
    filter,
    resctrl,
    draft,
  };
}

/** As crun does for a new user namespace without mappings: its root is whoever calls, and there is nobody else. */
function mapOwnIds(
  linux: { -readonly [key in keyof NonNullable<Spec["linux"]>]: NonNullable<Spec["linux"]>[key] },
): void {
  if (!(linux.uidMappings || []).length) linux.uidMappings = [{ containerID: 0, hostID: sys.geteuid(), size: 1 }];
  if (!(linux.gidMappings || []).length) linux.gidMappings = [{ containerID: 0, hostID: sys.getgid(), size: 1 }];
}

/** By `--cgroup-manager`, or by runc's name for one of them, `--systemd-cgroup`. */
function placeCgroup(
  id: string,
  spec: Spec,
  layout: CgroupLayout,
  rootless: boolean,
): { readonly cgroup: CgroupPlan; readonly scope: Scope | undefined } {
  const { cgroupManager, systemdCgroup } = context();
  const linux = spec.linux || {};
  if (systemdCgroup || cgroupManager === "systemd") return systemd().planScope(id, spec, layout);
  if (cgroupManager === "disabled") {
    const reason = "--cgroup-manager disabled makes no cgroup for the container";
    const hint = "leave the limit out, or use --cgroup-manager cgroupfs";
    return { cgroup: planNoCgroup(linux.resources, reason, hint), scope: undefined };
  }
  if (cgroupManager !== "cgroupfs")
    throw runtimeError(
      "InvalidArgument",
      `--cgroup-manager: must be cgroupfs, systemd or disabled, is "${cgroupManager}"`,
    );
  const cgroup = planCgroup(id, linux.cgroupsPath, linux.resources, layout, isRootless());
  if (!rootless || mayMakeCgroups(cgroup)) return { cgroup, scope: undefined };
  const hint = "leave the limit out, or have a cgroup delegated (systemd: Delegate=yes)";
  return { cgroup: planNoCgroup(linux.resources, "this user may not make cgroups", hint), scope: undefined };
}

function draftOf(id: string, spec: Spec, bundle: string): Draft {
  const rootfs = spec.root ? spec.root.path : "rootfs";
  const hooks = spec.hooks || {};
  return {
    id,
    pid: 0,
    startTime: "",
    bundle,
    rootfs: clean(rootfs.charAt(0) === "/" ? rootfs : `${bundle}/${rootfs}`),
    created: sys.rfc3339Nano(),
    ociVersion: spec.ociVersion,
    annotations: spec.annotations || {},
    cgroups: [],
    scope: "",
    poststart: !!hooks.poststart,
    poststop: !!hooks.poststop,
    userNamespace: false,
    unified: false,
    namespaces: 0,
    resctrl: [],
    hybrid: "",
    ownPids: false,
    hostMount: undefined,
  };
}

import type { CgroupLayout } from "../cgroup/layout.ts";
import type { CgroupDir } from "../cgroup/plan.ts";
import * as c from "../lib/consts.ts";
import { runtimeError } from "../lib/errors.ts";
import { absolute, clean } from "../lib/files.ts";
import { ATTR_ATIME, type MountOptions, parseMountOptions } from "../lib/mountopts.ts";
import type { Device, HookKind, Spec, SpecMount } from "../spec/types.ts";
import { planCgroupMount } from "./cgroup-mount.ts";
import { planIdMap } from "./idmap.ts";
import type { Step } from "./steps.ts";

/** runtime-spec "Default Devices": path, major, minor. */
const DEFAULT_DEVICES: readonly (readonly [string, number, number])[] = [
  ["/dev/null", 1, 3],
  ["/dev/zero", 1, 5],
  ["/dev/full", 1, 7],
  ["/dev/random", 1, 8],
  ["/dev/urandom", 1, 9],
  ["/dev/tty", 5, 0],
];

const DEFAULT_LINKS: readonly (readonly [string, string])[] = [
  ["/proc/self/fd", "/dev/fd"],
  ["/proc/self/fd/0", "/dev/stdin"],
  ["/proc/self/fd/1", "/dev/stdout"],
  ["/proc/self/fd/2", "/dev/stderr"],
];

export interface RootfsFacts {
  /** Absolute path of the bundle directory. */
  readonly bundle: string;
  readonly cgroup: CgroupLayout;
  /** The container's cgroups, one per hierarchy of the layout; none when it stays in the caller's. */
  readonly cgroupDirs: readonly CgroupDir[];
  /** The container gets its own cgroup namespace. */
  readonly cgroupNamespace: boolean;
  /** The container has a user namespace (new or joined): no mknod there. */
  readonly userNamespace: boolean;
  readonly noPivot: boolean;
  /** The kernel has SELinux: without it mounts take no label. */
  readonly selinux: boolean;
  /** No mount namespace: what is mounted is mounted on the host. */
  readonly hostMounts: boolean;
}

/** Everything between the new mount namespace and the pivot into the rootfs; pure. */
export function planRootfs(spec: Spec, facts: RootfsFacts): Step[] {
  const linux = spec.linux || {};
  const steps: Step[] = [];
  const propagation = propagationFlags(linux.rootfsPropagation || "rprivate");
  if (!facts.hostMounts)
    steps.push({
      op: "propagation",
      flags: propagation & c.MS_PRIVATE ? c.MS_PRIVATE | c.MS_REC : c.MS_SLAVE | c.MS_REC,
    });
  const rootPath = spec.root ? spec.root.path : "rootfs";
  const root = clean(rootPath.charAt(0) === "/" ? rootPath : `${facts.bundle}/${rootPath}`);
  steps.push({ op: "root", path: root });
  const late: Step[] = [];
  const label = (facts.selinux && linux.mountLabel) || "";
  const mounts = spec.mounts || [];
  let joined = false;
  for (let i = 0; i < mounts.length; i++) {
    const mount = mounts[i] as SpecMount;
    // as late as can be: the parent makes the cgroups while we mount
    if (!joined && isCgroup(mount)) {
      joined = true;
      steps.push({ op: "join" });
    }
    if (!isCgroup(mount))
      planMount(mount, `mounts[${i}]`, {
        linux,
        bundle: facts.bundle,
        userNamespace: facts.userNamespace,
        label,
        root,
        steps,
        late,
      });
    else {
      const { flags, propagation: changes } = parseMountOptions(mount.options || []);
      planCgroupMount(belowRoot(clean(mount.destination), root), flags, changes, facts, steps);
    }
  }
  if (!joined) steps.push({ op: "join" });
  planDevices(linux.devices || [], facts.userNamespace, steps);
  if (spec.process && spec.process.terminal) steps.push({ op: "console" });
  planHooks(spec.hooks || {}, steps);
  planInside(spec, steps, late);
  if (facts.noPivot && !facts.hostMounts) steps.push({ op: "moveRoot", root });
  else steps.push({ op: facts.hostMounts ? "chroot" : "pivot" });
  if (linux.rootfsPropagation && !facts.hostMounts) steps.push({ op: "propagation", flags: propagation });
  return steps;
}

/** Mounts that a running container gets: step i is mount i. */
export function planMounts(mounts: readonly SpecMount[], linux: NonNullable<Spec["linux"]>, bundle: string): Step[] {
  const steps: Step[] = [];
  for (let i = 0; i < mounts.length; i++) {
    const mount = mounts[i] as SpecMount;
    if (isCgroup(mount))
      throw runtimeError(
        "InvalidArgument",
        `invalid mounts[${i}].type: cgroups cannot be mounted into a running container`,
      );
    // what is read-only is so from its beginning, since nothing is made below it
    planMount(mount, `mounts[${i}]`, {
      linux,
      bundle,
      userNamespace: true,
      label: "",
      root: "/",
      steps,
      late: undefined,
    });
  }
  return steps;
}

function planHooks(hooks: NonNullable<Spec["hooks"]>, steps: Step[]): void {
  const has = (kind: HookKind): boolean => (hooks[kind] || []).length > 0;
  if (has("prestart") || has("createRuntime")) steps.push({ op: "hooks", kind: "createRuntime" });
  if (has("createContainer")) steps.push({ op: "hooks", kind: "createContainer" });
}

/** What is done to the finished tree. */
function planInside(spec: Spec, steps: Step[], late: readonly Step[]): void {
  const linux = spec.linux || {};
  const sysctl = linux.sysctl || {};
  for (const name in sysctl) {
    // dots separate directories, unless the name is written with slashes
    const file = name.indexOf("/") >= 0 ? name : name.replace(/\./g, "/");
    steps.push({ op: "sysctl", file, value: sysctl[name] as string });
  }
  const cwd = spec.process ? spec.process.cwd : "/";
  if (cwd !== "/") steps.push({ op: "mkdir", path: clean(cwd) });
  for (let i = 0; i < late.length; i++) steps.push(late[i] as Step);
  const readonlyPaths = once(linux.readonlyPaths || []);
  for (let i = 0; i < readonlyPaths.length; i++) steps.push({ op: "readonly", path: readonlyPaths[i] as string });
  const masked = once(linux.maskedPaths || []);
  for (let i = 0; i < masked.length; i++) steps.push({ op: "mask", path: masked[i] as string });
  if (spec.root && spec.root.readonly) steps.push({ op: "remountReadonly", path: "/" });
}

function once(paths: readonly string[]): readonly string[] {
  return paths.filter((path, i) => paths.indexOf(path) === i);
}

function propagationFlags(word: string): number {
  const parsed = parseMountOptions([word]).propagation;
  return parsed[0] || c.MS_PRIVATE | c.MS_REC;
}

function isCgroup({ type, options }: SpecMount): boolean {
  return (type === "cgroup" || type === "cgroup2") && !parseMountOptions(options || []).bind;
}

/** `context="…"` for the file systems that take a label from their mount (SELinux). */
function withLabel(data: string, type: string, label: string): string {
  if (label === "" || type === "proc" || type === "sysfs" || type === "mqueue") return data;
  return `${data}${data === "" ? "" : ","}context="${label}"`;
}

interface MountsPlan {
  readonly linux: NonNullable<Spec["linux"]>;
  readonly bundle: string;
  readonly userNamespace: boolean;
  /** Of the file systems that take one, "" for none. */
  readonly label: string;
  /** Absolute path of the root on the host. */
  readonly root: string;
  readonly steps: Step[];
  /** What is done when everything below is there; undefined: nothing will be made below. */
  readonly late: Step[] | undefined;
}

function planMount(
  mount: SpecMount,
  field: string,
  { linux, bundle, userNamespace, label, root, steps, late }: MountsPlan,
): void {
  const options = parseMountOptions(mount.options || []);
  const dest = belowRoot(clean(mount.destination), root);
  const type = mount.type || "none";
  const idmap = planIdMap(mount, options, linux, field);
  const bind = options.bind || type === "bind";
  if (idmap && !bind)
    throw runtimeError("InvalidArgument", `invalid config.json: ${field}: only bind mounts can be idmapped`);
  if (bind) {
    const source = mount.source || "";
    steps.push({
      op: "bind",
      source: source.charAt(0) === "/" ? source : clean(`${absolute(bundle)}/${source}`),
      dest,
      recursive: options.recursive,
      set: options.attrSet,
      clear: options.attrClear,
      recSet: options.recAttrSet,
      recClear: options.recAttrClear,
      propagation: options.propagation,
      ...impliedClear(options, userNamespace),
      ...(idmap ? { idmap } : {}),
      ...(options.links ? { links: options.links } : {}),
    });
    return;
  }
  // a read-only tmpfs must be writable while the runtime makes mount points and devices in it
  // of one mount, `rro` and its like say what `ro` says; MS_RDONLY to MS_NOEXEC and MOUNT_ATTR_* have the same values
  const flags = (options.flags | (options.recAttrSet & 0xf)) & ~(options.recAttrClear & 0xf);
  const filled = late !== undefined && type === "tmpfs" && (flags & c.MS_RDONLY) !== 0;
  steps.push({
    op: "mount",
    fstype: type,
    source: mount.source || type,
    dest,
    flags: filled ? flags & ~c.MS_RDONLY : flags,
    data: withLabel(options.data, type, label),
    propagation: options.propagation,
    strict: type === "proc" || type === "sysfs",
    ...(type === "tmpfs" && options.tmpcopyup ? { copyUp: true } : {}),
  });
  if (filled && late) late.push({ op: "remountReadonly", path: dest });
}

/** As a remount does, an option of a bind mount takes away those of the source that are not asked for; with none all stay. */
function impliedClear({ attrSet, attrClear }: MountOptions, locked: boolean): { implied?: number } {
  if (attrSet === 0 && attrClear === 0) return {};
  // what the kernel would lock in a user namespace stays: its root must not take it from a source of the host's
  if (locked) return { implied: c.MOUNT_ATTR_NOSYMFOLLOW & ~(attrSet | attrClear) };
  const times = (attrClear & ATTR_ATIME) !== 0 ? c.MOUNT_ATTR_NODIRATIME : 0;
  const all = c.MOUNT_ATTR_RDONLY | c.MOUNT_ATTR_NOSUID | c.MOUNT_ATTR_NODEV | c.MOUNT_ATTR_NOEXEC | times;
  return { implied: (all | c.MOUNT_ATTR_NOSYMFOLLOW) & ~(attrSet | attrClear) };
}

/** Callers of old give the destination with the root's own path before it. */
function belowRoot(dest: string, root: string): string {
  return root !== "/" && dest.indexOf(`${root}/`) === 0 ? dest.substring(root.length) : dest;
}

function planDevices(devices: readonly Device[], bind: boolean, steps: Step[]): void {
  const own: { [path: string]: boolean } = {};
  for (let i = 0; i < devices.length; i++) own[clean((devices[i] as Device).path)] = true;
  for (let i = 0; i < DEFAULT_DEVICES.length; i++) {
    const [path, major, minor] = DEFAULT_DEVICES[i] as readonly [string, number, number];
    if (!own[path]) steps.push({ op: "device", path, mode: c.S_IFCHR | 0o666, major, minor, uid: 0, gid: 0, bind });
  }
  for (let i = 0; i < devices.length; i++) {
    const device = devices[i] as Device;
    const kind = device.type === "b" ? c.S_IFBLK : device.type === "p" ? c.S_IFIFO : c.S_IFCHR;
    const mode = kind | (device.fileMode === undefined ? 0o666 : device.fileMode & 0o7777);
    const path = clean(device.path);
    // always the container's own (runtime-spec "Default Devices"), never the host's with the terminals behind it
    if (path === "/dev/ptmx") continue;
    steps.push({
      op: "device",
      path,
      mode,
      major: device.major || 0,
      minor: device.minor || 0,
      uid: device.uid || 0,
      gid: device.gid || 0,
      bind: bind && kind !== c.S_IFIFO,
      own: true,
    });
  }
  for (let i = 0; i < DEFAULT_LINKS.length; i++) {
    const [target, path] = DEFAULT_LINKS[i] as readonly [string, string];
    steps.push({ op: "symlink", target, path });
  }
  steps.push({ op: "symlink", target: "pts/ptmx", path: "/dev/ptmx" });
}

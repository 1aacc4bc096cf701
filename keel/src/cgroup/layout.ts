import * as c from "../lib/consts.ts";
import { callError, runtimeError } from "../lib/errors.ts";

/** One mounted cgroup v1 hierarchy. */
export interface Hierarchy {
  /** As in /proc/self/cgroup: `cpu,cpuacct` or `name=systemd`. */
  readonly controllers: string;
  readonly mountpoint: string;
  /** Own cgroup of this process below the mount point, "/" or "/a/b". */
  readonly own: string;
}

/**
 * The host's cgroup layout. `unified`: v2 alone at `v2Mount`. Otherwise the v1 hierarchies; hybrid hosts have a v2
 * mount beside them, which holds no controllers: then `v2Mount` is that, else "".
 */
export interface CgroupLayout {
  readonly unified: boolean;
  readonly v1: readonly Hierarchy[];
  readonly v2Mount: string;
  readonly v2Own: string;
}

/** Reads the layout. Mount points are first guessed where every distribution has them, then looked up in mountinfo. */
export function readCgroupLayout(): CgroupLayout {
  const text = sys.readFile("/proc/self/cgroup");
  if (typeof text === "number") throw callError("read /proc/self/cgroup", text);
  const fd = sys.open("/sys/fs/cgroup", c.O_PATH | c.O_DIRECTORY, 0);
  const unified = fd >= 0 && sys.fstatfsType(fd) === c.CGROUP2_SUPER_MAGIC;
  const lines = text.split("\n");
  const v1: Hierarchy[] = [];
  let v2Own = "/";
  let mounts: string | number | undefined;
  for (let i = 0; i < lines.length; i++) {
    // ID:CONTROLLERS:PATH, by hand: every container pays for this, and an expression takes ten times as long
    const line = lines[i] as string;
    const first = line.indexOf(":");
    const second = line.indexOf(":", first + 1);
    if (first < 0 || second < 0) continue;
    const controllers = line.substring(first + 1, second);
    const own = line.substring(second + 1);
    if (controllers === "") {
      v2Own = own;
      continue;
    }
    if (unified || fd < 0) continue;
    const name = hierarchyName(controllers);
    let mountpoint = `/sys/fs/cgroup/${name}`;
    if (sys.faccessat(fd, `${name}/cgroup.procs`, 0, 0) < 0) {
      if (mounts === undefined) mounts = sys.readFile("/proc/self/mountinfo");
      mountpoint = typeof mounts === "string" ? findMount(mounts, controllers) : "";
    }
    if (mountpoint) v1.push({ controllers, mountpoint, own });
  }
  if (fd >= 0) sys.close(fd);
  if (!unified && v1.length === 0) {
    throw runtimeError(
      "FailedPrecondition",
      "find the cgroup hierarchies: nothing is mounted at /sys/fs/cgroup",
      "mount cgroup2 there: mount -t cgroup2 none /sys/fs/cgroup",
    );
  }
  return { unified, v1, v2Mount: unified ? "/sys/fs/cgroup" : hybridMount(), v2Own };
}

/** What its directory below /sys/fs/cgroup is called. */
export function hierarchyName(controllers: string): string {
  return controllers.indexOf("name=") === 0 ? controllers.substring(5) : controllers;
}

/** Version 2 alone is mounted. */
export function isUnified(): boolean {
  return isCgroup2("/sys/fs/cgroup");
}

/** Where systemd mounts version 2 beside version 1; "" on hosts that have none. */
export function hybridMount(): string {
  return isCgroup2("/sys/fs/cgroup/unified") ? "/sys/fs/cgroup/unified" : "";
}

function isCgroup2(path: string): boolean {
  const fd = sys.open(path, c.O_PATH | c.O_DIRECTORY, 0);
  if (fd < 0) return false;
  const found = sys.fstatfsType(fd) === c.CGROUP2_SUPER_MAGIC;
  sys.close(fd);
  return found;
}

/** Mount point of a hierarchy from mountinfo, `… - cgroup cgroup rw,cpu,cpuacct`; "" when it has none. */
function findMount(mountinfo: string, controllers: string): string {
  // many kernels have a hierarchy that nobody mounts
  if (mountinfo.indexOf(controllers) < 0) return "";
  const lines = mountinfo.split("\n");
  let found = "";
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i] as string;
    const dash = line.indexOf(" - cgroup ");
    if (dash < 0 || line.indexOf(controllers, dash) < 0) continue;
    const options = (line.substring(dash + 10).split(" ")[1] || "").split(",");
    const named = options.filter(
      (option) => !/^(rw|ro|noprefix|clone_children|xattr|release_agent=.*|cpuset_v2_mode)$/.test(option),
    );
    if (named.join(",") === controllers) found = (line.split(" ")[4] || "").replace(/\\040/g, " ");
  }
  return found;
}

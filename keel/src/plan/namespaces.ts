import * as c from "../lib/consts.ts";
import type { Namespace, NamespaceType, Spec } from "../spec/types.ts";

export const NAMESPACE_FLAGS: { readonly [type in NamespaceType]: number } = {
  pid: c.CLONE_NEWPID,
  network: c.CLONE_NEWNET,
  mount: c.CLONE_NEWNS,
  ipc: c.CLONE_NEWIPC,
  uts: c.CLONE_NEWUTS,
  user: c.CLONE_NEWUSER,
  cgroup: c.CLONE_NEWCGROUP,
  time: c.CLONE_NEWTIME,
};

/** Names of the files below /proc/PID/ns. */
export const NAMESPACE_FILES: { readonly [type in NamespaceType]: string } = {
  pid: "pid",
  network: "net",
  mount: "mnt",
  ipc: "ipc",
  uts: "uts",
  user: "user",
  cgroup: "cgroup",
  time: "time",
};

export interface NamespacePlan {
  /** CLONE_NEW* of all that are named, whether made or joined. */
  readonly all: number;
  /** CLONE_NEW* of the one clone3 call that makes init. */
  readonly cloneFlags: number;
  /**
   * CLONE_NEW* that init makes by itself, while its parent goes on: without a user namespace the order is free. The
   * cgroup namespace is not among them, it comes after joining the cgroup.
   */
  readonly ownFlags: number;
  /** Made or joined; without one the container's mounts are the host's. */
  readonly mount: boolean;
  readonly newCgroup: boolean;
  readonly newNetwork: boolean;
  /**
   * The new network namespace is made by another process while this one plans. It must belong to our own user namespace,
   * and no time namespace may be entered: the kernel refuses that to a process which shares its memory.
   */
  readonly networkBeside: boolean;
  readonly newUser: boolean;
  readonly newTime: boolean;
  /** Text for /proc/self/timens_offsets, "" for none: clock, seconds, nanoseconds a line (time_namespaces(7)). */
  readonly timeOffsets: string;
  /** Joined by the parent around the clone, so that init is born in them. */
  readonly joins: readonly { readonly type: NamespaceType; readonly path: string; readonly field: string }[];
  /** Joined by init itself: a mount namespace. */
  readonly joinMount: string;
  /** Joined first by a stage between parent and init, since the rest is owned by it. */
  readonly joinUser: string;
}

export function planNamespaces(spec: Spec): NamespacePlan {
  const namespaces: readonly Namespace[] = (spec.linux && spec.linux.namespaces) || [];
  let all = 0;
  let cloneFlags = 0;
  let mount = false;
  let newCgroup = false;
  let newNetwork = false;
  let newUser = false;
  let newTime = false;
  let joinMount = "";
  let joinUser = "";
  const joins: { type: NamespaceType; path: string; field: string }[] = [];
  for (let i = 0; i < namespaces.length; i++) {
    const ns = namespaces[i] as Namespace;
    all = all | NAMESPACE_FLAGS[ns.type];
    if (ns.type === "mount") mount = true;
    if (ns.path) {
      if (ns.type === "mount") joinMount = ns.path;
      else if (ns.type === "user") joinUser = ns.path;
      else joins.push({ type: ns.type, path: ns.path, field: `linux.namespaces[${i}].path` });
      continue;
    }
    if (ns.type === "cgroup") newCgroup = true;
    else if (ns.type === "time") newTime = true;
    else cloneFlags = cloneFlags | NAMESPACE_FLAGS[ns.type];
    if (ns.type === "network") newNetwork = true;
    if (ns.type === "user") newUser = true;
  }
  const born = newUser || joinUser !== "" ? cloneFlags : cloneFlags & c.CLONE_NEWPID;
  const networkBeside = (cloneFlags & ~born & c.CLONE_NEWNET) !== 0 && !newTime && joins.length === 0;
  const ownFlags = cloneFlags & ~born & (networkBeside ? ~c.CLONE_NEWNET : -1);
  return {
    all,
    cloneFlags: born >>> 0,
    ownFlags: ownFlags >>> 0,
    mount,
    newCgroup,
    newNetwork,
    networkBeside,
    newUser,
    newTime,
    timeOffsets: timeOffsets(spec),
    joins,
    joinMount,
    joinUser,
  };
}

function timeOffsets(spec: Spec): string {
  const offsets = (spec.linux && spec.linux.timeOffsets) || {};
  let text = "";
  for (const clock in offsets) {
    const { secs, nanosecs } = offsets[clock] as (typeof offsets)[string];
    text += `${clock} ${secs || 0} ${nanosecs || 0}\n`;
  }
  return text;
}

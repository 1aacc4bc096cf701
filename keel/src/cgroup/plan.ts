import { runtimeError } from "../lib/errors.ts";
import { clean } from "../lib/files.ts";
import type { DeviceRule, Resources } from "../spec/types.ts";
import type { CgroupLayout, Hierarchy } from "./layout.ts";
import { type CgroupWrite, planController, planUnified } from "./resources.ts";

export interface CgroupDir {
  /** Absolute path of the container's cgroup in one hierarchy. */
  readonly path: string;
  /** Where the hierarchy is mounted: parents up to here are made too. */
  readonly mountpoint: string;
  /** Controllers of the hierarchy ("memory", "cpu,cpuacct"); "" for cgroup v2. */
  readonly controllers: string;
  readonly writes: readonly CgroupWrite[];
}

export interface CgroupPlan {
  readonly dirs: readonly CgroupDir[];
  /** Device rules for an eBPF program (cgroup v2); v1 has them among its writes. */
  readonly devices: readonly DeviceRule[] | undefined;
  /** v2: controllers that the parents must delegate. */
  readonly delegate: readonly string[];
  /** The cgroup in the version 2 hierarchy beside version 1: it has no limits, and tells who belongs to the container. */
  readonly hybrid: CgroupDir | undefined;
}

/** What every container may do with devices besides its own rules: make nodes, and use the default ones. */
const DEFAULT_RULES: readonly DeviceRule[] = [
  { allow: true, type: "c", access: "m" },
  { allow: true, type: "b", access: "m" },
  { allow: true, type: "c", major: 1, minor: 3, access: "rwm" },
  { allow: true, type: "c", major: 1, minor: 5, access: "rwm" },
  { allow: true, type: "c", major: 1, minor: 7, access: "rwm" },
  { allow: true, type: "c", major: 1, minor: 8, access: "rwm" },
  { allow: true, type: "c", major: 1, minor: 9, access: "rwm" },
  { allow: true, type: "c", major: 5, minor: 0, access: "rwm" },
  { allow: true, type: "c", major: 5, minor: 2, access: "rwm" },
  { allow: true, type: "c", major: 136, access: "rwm" },
];

/**
 * Where the container's cgroup is in each hierarchy and what is written there; pure. Device rules are for the host's root
 * only: others may not set them, and have no right to make devices or to open those on file systems they mount.
 */
export function planCgroup(
  id: string,
  cgroupsPath: string | undefined,
  resources: Resources | undefined,
  layout: CgroupLayout,
  rootless = false,
): CgroupPlan {
  const wanted = cgroupsPath || "";
  if (wanted.split("/").indexOf("..") >= 0)
    throw runtimeError(
      "InvalidArgument",
      `invalid config.json: linux.cgroupsPath: must not contain "..", is "${wanted}"`,
    );
  if (wanted !== "" && clean(wanted) === "/")
    throw runtimeError(
      "InvalidArgument",
      `invalid config.json: linux.cgroupsPath: must name a cgroup below the root, is "${wanted}"`,
    );
  const relative = wanted === "" ? id : wanted;
  const isAbsolute = wanted.charAt(0) === "/";
  const limits = resources || {};
  const rules =
    !rootless && limits.devices && limits.devices.length > 0 ? limits.devices.concat(DEFAULT_RULES) : undefined;
  checkVersion(limits, layout.unified);
  if (layout.unified) {
    // beside the own cgroup, as runc does: one that has processes, such as ours, may not give controllers to others
    const beside = layout.v2Own.substring(0, layout.v2Own.lastIndexOf("/"));
    const path = clean(isAbsolute ? wanted : `${beside}/${relative}`);
    const writes = planUnified(limits);
    return {
      dirs: [{ path: layout.v2Mount + path, mountpoint: layout.v2Mount, controllers: "", writes }],
      devices: rules,
      delegate: ["cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma", "misc"],
      hybrid: undefined,
    };
  }
  const dirs: CgroupDir[] = [];
  for (let i = 0; i < layout.v1.length; i++) {
    const hierarchy = layout.v1[i] as Hierarchy;
    const path = clean(isAbsolute ? wanted : `${hierarchy.own}/${relative}`);
    const writes: CgroupWrite[] = [];
    const names = hierarchy.controllers.split(",");
    for (let k = 0; k < names.length; k++) planController(names[k] as string, limits, rules, writes);
    dirs.push({
      path: hierarchy.mountpoint + path,
      mountpoint: hierarchy.mountpoint,
      controllers: hierarchy.controllers,
      writes,
    });
  }
  const mountpoint = layout.v2Mount;
  const path = mountpoint + clean(isAbsolute ? wanted : `${layout.v2Own}/${relative}`);
  const hybrid = mountpoint === "" ? undefined : { path, mountpoint, controllers: "", writes: [] };
  return { dirs, devices: undefined, delegate: [], hybrid };
}

/** The container stays in the caller's cgroup, for this reason; a limit would be the caller's, so it is refused. */
export function planNoCgroup(resources: Resources | undefined, reason: string, hint: string): CgroupPlan {
  const limits = (resources || {}) as { readonly [name: string]: object };
  for (const name in limits) {
    if (name === "devices" || Object.keys(limits[name] || {}).length === 0) continue;
    throw runtimeError("FailedPrecondition", `apply linux.resources.${name}: ${reason}`, hint);
  }
  return { dirs: [], devices: undefined, delegate: [], hybrid: undefined };
}

/** What one of the two versions cannot do is told before anything is made. */
function checkVersion(limits: Resources, unified: boolean): void {
  const network = limits.network || {};
  if (unified && (network.classID || (network.priorities || []).length > 0))
    throw runtimeError(
      "FailedPrecondition",
      "apply linux.resources.network: the host has cgroup v2, which has no net_cls and net_prio",
      "leave it out, and mark packets with nftables' `socket cgroupv2`",
    );
  const cpu = limits.cpu || {};
  if (unified && (Number(cpu.realtimeRuntime || 0) !== 0 || Number(cpu.realtimePeriod || 0) !== 0))
    throw runtimeError(
      "FailedPrecondition",
      "apply linux.resources.cpu.realtimeRuntime: the host has cgroup v2, which has no realtime limits",
      "leave realtimeRuntime and realtimePeriod out",
    );
  if (!unified && limits.unified && Object.keys(limits.unified).length > 0)
    throw runtimeError(
      "FailedPrecondition",
      "invalid configuration: linux.resources.unified: the host has cgroup v1",
      "use the fields of linux.resources, or boot with systemd.unified_cgroup_hierarchy=1",
    );
}

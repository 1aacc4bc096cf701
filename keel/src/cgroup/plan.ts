import { runtimeError } from "../lib/errors.ts";
import { clean } from "../lib/files.ts";
import type { DeviceRule, Int, Resources } from "../spec/types.ts";
import type { CgroupLayout, Hierarchy } from "./layout.ts";

/** One file of a cgroup and the lines to write into it, each with a write of its own. */
export interface CgroupWrite {
  readonly file: string;
  readonly lines: readonly string[];
  /** Field of config.json the write comes from, for the error. */
  readonly field: string;
}

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
  /** Path below the mount point of each hierarchy (absolute cgroupsPath) or below the own cgroup of each. */
  readonly cgroupPath: string;
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

/** Where the container's cgroup is in each hierarchy and what is written there; pure. */
export function planCgroup(
  id: string,
  cgroupsPath: string | undefined,
  resources: Resources | undefined,
  layout: CgroupLayout,
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
  const rules = limits.devices && limits.devices.length > 0 ? limits.devices.concat(DEFAULT_RULES) : undefined;
  if (layout.unified) {
    const path = clean(isAbsolute ? wanted : `${layout.v2Own}/${relative}`);
    const writes = planUnified(limits);
    return {
      dirs: [{ path: layout.v2Mount + path, mountpoint: layout.v2Mount, controllers: "", writes }],
      devices: rules,
      delegate: ["cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma", "misc"],
      cgroupPath: path,
    };
  }
  if (limits.unified && Object.keys(limits.unified).length > 0) {
    throw runtimeError(
      "FailedPrecondition",
      "apply linux.resources.unified: the host has cgroup v1",
      "use the fields of linux.resources, or boot with systemd.unified_cgroup_hierarchy=1",
    );
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
  return { dirs, devices: undefined, delegate: [], cgroupPath: isAbsolute ? clean(wanted) : clean(`/${relative}`) };
}

function put(writes: CgroupWrite[], file: string, value: Int | undefined, field: string): void {
  if (value !== undefined && value !== null)
    writes.push({ file, lines: [String(value)], field: `linux.resources.${field}` });
}

/** A limit where -1 means none: cgroup v2 writes "max". */
function orMax(value: Int | undefined): Int | undefined {
  return value === undefined || value === null ? undefined : String(value).charAt(0) === "-" ? "max" : value;
}

function planController(
  name: string,
  limits: Resources,
  rules: readonly DeviceRule[] | undefined,
  writes: CgroupWrite[],
): void {
  const memory = limits.memory || {};
  const cpu = limits.cpu || {};
  switch (name) {
    case "memory":
      // raising both needs the swap limit first: with -1 it goes first, else the memory limit does
      if (String(memory.swap) === "-1") put(writes, "memory.memsw.limit_in_bytes", memory.swap, "memory.swap");
      put(writes, "memory.limit_in_bytes", memory.limit, "memory.limit");
      if (String(memory.swap) !== "-1" && Number(memory.swap) !== 0)
        put(writes, "memory.memsw.limit_in_bytes", memory.swap, "memory.swap");
      put(writes, "memory.soft_limit_in_bytes", memory.reservation, "memory.reservation");
      put(writes, "memory.swappiness", memory.swappiness, "memory.swappiness");
      if (memory.disableOOMKiller) put(writes, "memory.oom_control", 1, "memory.disableOOMKiller");
      break;
    case "cpu":
      if (Number(cpu.shares) !== 0) put(writes, "cpu.shares", cpu.shares, "cpu.shares");
      if (Number(cpu.period) !== 0) put(writes, "cpu.cfs_period_us", cpu.period, "cpu.period");
      if (Number(cpu.quota) !== 0) put(writes, "cpu.cfs_quota_us", cpu.quota, "cpu.quota");
      put(writes, "cpu.cfs_burst_us", cpu.burst, "cpu.burst");
      put(writes, "cpu.idle", cpu.idle, "cpu.idle");
      if (Number(cpu.realtimePeriod) !== 0) put(writes, "cpu.rt_period_us", cpu.realtimePeriod, "cpu.realtimePeriod");
      if (Number(cpu.realtimeRuntime) !== 0)
        put(writes, "cpu.rt_runtime_us", cpu.realtimeRuntime, "cpu.realtimeRuntime");
      break;
    case "cpuset":
      if (cpu.cpus) put(writes, "cpuset.cpus", cpu.cpus, "cpu.cpus");
      if (cpu.mems) put(writes, "cpuset.mems", cpu.mems, "cpu.mems");
      break;
    case "pids": {
      const limit = limits.pids && limits.pids.limit;
      if (limit !== undefined && Number(limit) !== 0) put(writes, "pids.max", orMax(limit), "pids.limit");
      break;
    }
    case "devices":
      if (rules) planDevices(rules, writes);
      break;
  }
}

function planDevices(rules: readonly DeviceRule[], writes: CgroupWrite[]): void {
  let file = "";
  let lines: string[] = [];
  for (let i = 0; i <= rules.length; i++) {
    const rule = rules[i];
    const next = !rule ? "" : rule.allow ? "devices.allow" : "devices.deny";
    if (next !== file) {
      if (lines.length > 0) writes.push({ file, lines, field: "linux.resources.devices" });
      lines = [];
      file = next;
    }
    if (rule) lines.push(deviceLine(rule));
  }
}

function deviceLine(rule: DeviceRule): string {
  const type = rule.type || "a";
  const number = (n: number | undefined): string => (n === undefined || n === null || n < 0 ? "*" : String(n));
  if (
    type === "a" &&
    rule.major === undefined &&
    rule.minor === undefined &&
    (!rule.access || rule.access.length === 3)
  )
    return "a";
  return `${type} ${number(rule.major)}:${number(rule.minor)} ${rule.access || "rwm"}`;
}

function planUnified(limits: Resources): CgroupWrite[] {
  const writes: CgroupWrite[] = [];
  const memory = limits.memory || {};
  const cpu = limits.cpu || {};
  put(writes, "memory.max", orMax(memory.limit), "memory.limit");
  put(writes, "memory.swap.max", swapMax(memory.limit, memory.swap), "memory.swap");
  put(writes, "memory.low", orMax(memory.reservation), "memory.reservation");
  if (Number(cpu.shares) > 0) put(writes, "cpu.weight", cpuWeight(Number(cpu.shares)), "cpu.shares");
  put(writes, "cpu.idle", cpu.idle, "cpu.idle");
  if (Number(cpu.quota || 0) !== 0 || Number(cpu.period || 0) !== 0) {
    const quota = Number(cpu.quota || 0) > 0 ? String(cpu.quota) : "max";
    put(writes, "cpu.max", Number(cpu.period || 0) > 0 ? `${quota} ${cpu.period}` : quota, "cpu.quota");
  }
  put(writes, "cpu.max.burst", cpu.burst, "cpu.burst");
  if (cpu.cpus) put(writes, "cpuset.cpus", cpu.cpus, "cpu.cpus");
  if (cpu.mems) put(writes, "cpuset.mems", cpu.mems, "cpu.mems");
  const pids = limits.pids && limits.pids.limit;
  if (pids !== undefined && Number(pids) !== 0) put(writes, "pids.max", orMax(pids), "pids.limit");
  const unified = limits.unified || {};
  for (const file in unified) {
    writes.push({ file, lines: (unified[file] as string).split("\n"), field: `linux.resources.unified["${file}"]` });
  }
  return writes;
}

/** runtime-spec swap is memory + swap; cgroup v2 wants swap alone. */
function swapMax(limit: Int | undefined, swap: Int | undefined): Int | undefined {
  if (swap === undefined || Number(swap) === 0) return undefined;
  if (Number(swap) < 0) return "max";
  if (limit === undefined || Number(limit) <= 0) {
    throw runtimeError(
      "InvalidArgument",
      "invalid config.json: linux.resources.memory.swap: needs memory.limit to be set too",
    );
  }
  const rest = Number(swap) - Number(limit);
  if (rest < 0)
    throw runtimeError(
      "InvalidArgument",
      `invalid config.json: linux.resources.memory.swap: is memory and swap together, so at least memory.limit (${limit}), is ${swap}`,
    );
  return rest;
}

/**
 * cpu.weight for cpu.shares: 2 → 1, 1024 → 100, 262144 → 10000, a quadratic in log2 between, as runc ≥ 1.3.2 and
 * crun ≥ 1.23 do.
 */
export function cpuWeight(shares: number): number {
  if (shares <= 2) return 1;
  if (shares >= 262144) return 10000;
  const l = Math.log(shares) / Math.LN2;
  return Math.ceil(Math.pow(10, (l * l + 125 * l) / 612 - 7 / 34) - 1e-9);
}

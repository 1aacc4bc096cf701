import { runtimeError } from "../lib/errors.ts";
import type { BlockIO, DeviceRule, Int, Resources, Throttle } from "../spec/types.ts";

/** One file of a cgroup and the lines to write into it, each with a write of its own. */
export interface CgroupWrite {
  readonly file: string;
  readonly lines: readonly string[];
  /** Field of config.json the write comes from, for the error. */
  readonly field: string;
  /** When the kernel has no such file: this one then, or nothing at all. */
  readonly otherwise?: CgroupWrite | "nothing";
  /** Two limits that bound each other: if this one is refused, the next is written first and this again after it. */
  readonly pair?: boolean;
}

function put(writes: CgroupWrite[], file: string, value: Int | undefined, field: string): void {
  if (isSet(value)) writes.push({ file, lines: [String(value)], field: `linux.resources.${field}` });
}

function isSet<T>(value: T | undefined): value is T {
  return value !== undefined && value !== null;
}

/** A limit where -1 means none: cgroup v2 writes "max". */
function orMax(value: Int | undefined): Int | undefined {
  return isSet(value) && String(value).charAt(0) === "-" ? "max" : value;
}

/** Writes for one controller of cgroup v1. Pure. */
export function planController(
  name: string,
  limits: Resources,
  rules: readonly DeviceRule[] | undefined,
  writes: CgroupWrite[],
): void {
  switch (name) {
    case "memory":
      planMemory(limits, writes);
      break;
    case "cpu":
      planCpu(limits, writes);
      break;
    case "cpuset":
      planCpuset(limits, writes);
      break;
    case "pids":
      planPids(limits, writes);
      break;
    case "devices":
      if (rules) planDevices(rules, writes);
      break;
    case "blkio":
      planBlkio(limits.blockIO || {}, writes);
      break;
    case "hugetlb":
      planHugepages(limits, "limit_in_bytes", writes);
      break;
    case "rdma":
      planRdma(limits, writes);
      break;
    case "net_cls":
      if (limits.network) put(writes, "net_cls.classid", limits.network.classID, "network.classID");
      break;
    case "net_prio":
      planNetPrio(limits, writes);
      break;
  }
}

function planMemory(limits: Resources, writes: CgroupWrite[]): void {
  const memory = limits.memory || {};
  const unlimited = String(memory.limit) === "-1";
  // no memory limit and a swap limit do not go together
  const swap = unlimited && !isSet(memory.swap) ? -1 : memory.swap;
  if (isSet(memory.limit) && Number(memory.limit) !== 0)
    writes.push({
      file: "memory.limit_in_bytes",
      lines: [String(memory.limit)],
      field: "linux.resources.memory.limit",
      pair: true,
    });
  if (isSet(swap) && Number(swap) !== 0)
    writes.push({
      file: "memory.memsw.limit_in_bytes",
      lines: [String(swap)],
      field: "linux.resources.memory.swap",
      // hosts without swap accounting: the memory limit alone still holds
      otherwise: "nothing",
    });
  put(writes, "memory.soft_limit_in_bytes", memory.reservation, "memory.reservation");
  put(writes, "memory.swappiness", memory.swappiness, "memory.swappiness");
  // what sockets hold; its sibling `kernel` is ignored, as the kernel does since 5.16
  if (isSet(memory.kernelTCP) && Number(memory.kernelTCP) !== 0)
    writes.push({
      file: "memory.kmem.tcp.limit_in_bytes",
      lines: [String(memory.kernelTCP)],
      field: "linux.resources.memory.kernelTCP",
      otherwise: "nothing",
    });
  if (memory.disableOOMKiller) put(writes, "memory.oom_control", 1, "memory.disableOOMKiller");
}

function planCpu(limits: Resources, writes: CgroupWrite[]): void {
  const cpu = limits.cpu || {};
  const pairs: readonly (readonly [string, Int | undefined, string])[] = [
    ["cpu.cfs_period_us", cpu.period, "period"],
    ["cpu.cfs_quota_us", cpu.quota, "quota"],
    ["cpu.cfs_burst_us", cpu.burst, "burst"],
    ["cpu.rt_period_us", cpu.realtimePeriod, "realtimePeriod"],
    ["cpu.rt_runtime_us", cpu.realtimeRuntime, "realtimeRuntime"],
  ];
  if (Number(cpu.shares) !== 0) put(writes, "cpu.shares", cpu.shares, "cpu.shares");
  for (let i = 0; i < pairs.length; i++) {
    const [file, value, field] = pairs[i] as (typeof pairs)[0];
    if (!isSet(value) || (Number(value) === 0 && field !== "burst")) continue;
    writes.push({ file, lines: [String(value)], field: `linux.resources.cpu.${field}`, pair: true });
  }
  put(writes, "cpu.idle", cpu.idle, "cpu.idle");
}

function planCpuset(limits: Resources, writes: CgroupWrite[]): void {
  const cpu = limits.cpu || {};
  if (cpu.cpus) put(writes, "cpuset.cpus", cpu.cpus, "cpu.cpus");
  if (cpu.mems) put(writes, "cpuset.mems", cpu.mems, "cpu.mems");
}

function planPids(limits: Resources, writes: CgroupWrite[]): void {
  const limit = limits.pids && limits.pids.limit;
  // the kernel takes 0 for "no fork at all": init alone, which is what it means
  if (isSet(limit)) put(writes, "pids.max", Number(limit) === 0 ? 1 : orMax(limit), "pids.limit");
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
    const access = rule ? accessOf(rule) : "";
    if (rule && access !== "") lines.push(deviceLine(rule, access));
  }
}

function deviceLine(rule: DeviceRule, access: string): string {
  const type = rule.type || "a";
  const number = (n: number | undefined): string => (!isSet(n) || n < 0 ? "*" : String(n));
  if (type === "a" && rule.major === undefined && rule.minor === undefined && access === "rwm") return "a";
  return `${type} ${number(rule.major)}:${number(rule.minor)} ${access}`;
}

/** Of r, w and m. A letter that is none gives nothing: an allowing rule is without it, a refusing one refuses all. */
export function accessOf({ access, allow }: DeviceRule): string {
  if (access === "rwm" || access === "m") return access;
  if (!access || (!allow && /[^rwm]/.test(access))) return "rwm";
  return access.replace(/[^rwm]/g, "");
}

const THROTTLES = [
  ["throttleReadBpsDevice", "read_bps_device", "rbps"],
  ["throttleWriteBpsDevice", "write_bps_device", "wbps"],
  ["throttleReadIOPSDevice", "read_iops_device", "riops"],
  ["throttleWriteIOPSDevice", "write_iops_device", "wiops"],
] as const;

/** Calls `line` for each throttle: its words in version 1's file name and in version 2's line. */
function eachThrottle(
  blockIO: BlockIO,
  line: (device: Throttle, file: string, key: string, field: string) => void,
): void {
  for (let i = 0; i < THROTTLES.length; i++) {
    const [field, file, key] = THROTTLES[i] as (typeof THROTTLES)[0];
    const devices = blockIO[field] || [];
    for (let k = 0; k < devices.length; k++)
      line(devices[k] as Throttle, file, key, `linux.resources.blockIO.${field}[${k}]`);
  }
}

/** The weight has one file under the BFQ scheduler and another under CFQ, which newer kernels lack. */
function planWeights(blockIO: BlockIO, writes: CgroupWrite[]): void {
  const either = (bfq: string, plain: string, value: string, field: string): void => {
    const otherwise = { file: plain, lines: [value], field: `linux.resources.blockIO.${field}` };
    writes.push({ file: bfq, lines: [value], field: `linux.resources.blockIO.${field}`, otherwise });
  };
  if (blockIO.weight) either("blkio.bfq.weight", "blkio.weight", String(blockIO.weight), "weight");
  if (blockIO.leafWeight) put(writes, "blkio.leaf_weight", blockIO.leafWeight, "blockIO.leafWeight");
  const devices = blockIO.weightDevice || [];
  for (let i = 0; i < devices.length; i++) {
    const { major, minor, weight, leafWeight } = devices[i] as (typeof devices)[0];
    const field = `weightDevice[${i}]`;
    if (weight) either("blkio.bfq.weight_device", "blkio.weight_device", `${major}:${minor} ${weight}`, field);
    if (leafWeight) put(writes, "blkio.leaf_weight_device", `${major}:${minor} ${leafWeight}`, `blockIO.${field}`);
  }
}

function planBlkio(blockIO: BlockIO, writes: CgroupWrite[]): void {
  planWeights(blockIO, writes);
  eachThrottle(blockIO, ({ major, minor, rate }, file, _key, field) => {
    writes.push({ file: `blkio.throttle.${file}`, lines: [`${major}:${minor} ${rate}`], field });
  });
}

function planIo(blockIO: BlockIO, writes: CgroupWrite[]): void {
  if (blockIO.weight) {
    const field = "linux.resources.blockIO.weight";
    // io.weight goes from 1 to 10000, the specification's from 10 to 1000
    const scaled = 1 + Math.floor(((blockIO.weight - 10) * 9999) / 990);
    const otherwise = { file: "io.weight", lines: [`default ${scaled}`], field };
    writes.push({ file: "io.bfq.weight", lines: [String(blockIO.weight)], field, otherwise });
  }
  const devices = blockIO.weightDevice || [];
  for (let i = 0; i < devices.length; i++) {
    const { major, minor, weight } = devices[i] as (typeof devices)[0];
    if (weight) put(writes, "io.bfq.weight", `${major}:${minor} ${weight}`, `blockIO.weightDevice[${i}]`);
  }
  eachThrottle(blockIO, ({ major, minor, rate }, _file, key, field) => {
    const value = Number(rate) === 0 ? "max" : rate;
    writes.push({ file: "io.max", lines: [`${major}:${minor} ${key}=${value}`], field });
  });
}

/** `suffix`: limit_in_bytes (v1) or max (v2). Reservations are limited where the kernel can (5.7). */
function planHugepages(limits: Resources, suffix: string, writes: CgroupWrite[]): void {
  const pages = limits.hugepageLimits || [];
  for (let i = 0; i < pages.length; i++) {
    const { pageSize, limit } = pages[i] as (typeof pages)[0];
    const field = `linux.resources.hugepageLimits[${i}]`;
    writes.push({ file: `hugetlb.${pageSize}.${suffix}`, lines: [String(limit)], field });
    const reserved = `hugetlb.${pageSize}.rsvd.${suffix}`;
    writes.push({ file: reserved, lines: [String(limit)], field, otherwise: "nothing" });
  }
}

function planRdma(limits: Resources, writes: CgroupWrite[]): void {
  const devices = limits.rdma || {};
  for (const device in devices) {
    const { hcaHandles, hcaObjects } = devices[device] as NonNullable<Resources["rdma"]>[string];
    let line = device;
    if (isSet(hcaHandles)) line += ` hca_handle=${hcaHandles}`;
    if (isSet(hcaObjects)) line += ` hca_object=${hcaObjects}`;
    if (line !== device) put(writes, "rdma.max", line, `rdma.${device}`);
  }
}

function planNetPrio(limits: Resources, writes: CgroupWrite[]): void {
  const priorities = (limits.network && limits.network.priorities) || [];
  for (let i = 0; i < priorities.length; i++) {
    const { name, priority } = priorities[i] as (typeof priorities)[0];
    put(writes, "net_prio.ifpriomap", `${name} ${priority}`, `network.priorities[${i}]`);
  }
}

/** Writes for cgroup v2. Pure. */
export function planUnified(limits: Resources): CgroupWrite[] {
  const writes: CgroupWrite[] = [];
  const memory = limits.memory || {};
  const cpu = limits.cpu || {};
  if (Number(memory.limit) !== 0) put(writes, "memory.max", orMax(memory.limit), "memory.limit");
  const unlimited = String(memory.limit) === "-1" && !isSet(memory.swap);
  put(writes, "memory.swap.max", unlimited ? "max" : swapMax(memory.limit, memory.swap), "memory.swap");
  put(writes, "memory.low", orMax(memory.reservation), "memory.reservation");
  if (Number(cpu.shares) > 0) put(writes, "cpu.weight", cpuWeight(Number(cpu.shares)), "cpu.shares");
  put(writes, "cpu.idle", cpu.idle, "cpu.idle");
  const bandwidth: CgroupWrite[] = [];
  if (Number(cpu.quota || 0) !== 0 || Number(cpu.period || 0) !== 0) {
    const quota = Number(cpu.quota || 0) > 0 ? String(cpu.quota) : "max";
    put(bandwidth, "cpu.max", Number(cpu.period || 0) > 0 ? `${quota} ${cpu.period}` : quota, "cpu.quota");
  }
  put(bandwidth, "cpu.max.burst", cpu.burst, "cpu.burst");
  for (let i = 0; i < bandwidth.length; i++) {
    const { file, lines, field } = bandwidth[i] as CgroupWrite;
    writes.push({ file, lines, field, pair: true });
  }
  planCpuset(limits, writes);
  planPids(limits, writes);
  planIo(limits.blockIO || {}, writes);
  planHugepages(limits, "max", writes);
  planRdma(limits, writes);
  const unified = limits.unified || {};
  for (const file in unified) {
    writes.push({ file, lines: (unified[file] as string).split("\n"), field: `linux.resources.unified["${file}"]` });
  }
  return writes;
}

/** runtime-spec swap is memory + swap; cgroup v2 wants swap alone. */
function swapMax(limit: Int | undefined, swap: Int | undefined): Int | undefined {
  if (!isSet(swap) || Number(swap) === 0) return undefined;
  if (Number(swap) < 0) return "max";
  if (!isSet(limit) || Number(limit) <= 0) {
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

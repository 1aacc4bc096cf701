import type { Value } from "../dbus/marshal.ts";
import { runtimeError } from "../lib/errors.ts";
import type { CgroupWrite } from "./resources.ts";
import type { Property } from "./unit.ts";

const INFINITY = "18446744073709551615";
/** The kernel's own, of both versions. */
const DEFAULT_PERIOD_US = 100_000;

/** Files of a cgroup whose value systemd knows under a name of its own; version 2, then version 1. */
const PLAIN: { readonly [file: string]: string } = {
  "memory.max": "MemoryMax",
  "memory.high": "MemoryHigh",
  "memory.low": "MemoryLow",
  "memory.min": "MemoryMin",
  "memory.swap.max": "MemorySwapMax",
  "memory.zswap.max": "MemoryZSwapMax",
  "pids.max": "TasksMax",
  "cpu.weight": "CPUWeight",
  "memory.limit_in_bytes": "MemoryLimit",
  "cpu.shares": "CPUShares",
  "blkio.weight": "BlockIOWeight",
  "blkio.bfq.weight": "BlockIOWeight",
};

/**
 * What systemd has to know of the limits that are written to the container's cgroup, so that `systemctl show` tells
 * them, siblings of the scope are weighed against it, and no daemon-reload undoes them. Files that systemd has no
 * property for stay ours alone.
 */
export function limitProperties(writes: readonly CgroupWrite[]): Property[] {
  const properties: Property[] = [];
  const quota: { value?: string; period?: string } = {};
  let idle = false;
  for (let i = 0; i < writes.length; i++) {
    const { file, lines } = writes[i] as CgroupWrite;
    const text = lines.join("\n").replace(/^\s+|\s+$/g, "");
    if (PLAIN[file]) setLast(properties, PLAIN[file] as string, "t", limit(file, text));
    else if (file === "cpu.idle") idle = text === "1";
    else if (file === "cpu.max") {
      const [max, period] = text.split(/\s+/) as [string, string | undefined];
      quota.value = max === "max" ? "-1" : max;
      if (period !== undefined) quota.period = period;
    } else if (file === "cpu.cfs_quota_us") quota.value = text;
    else if (file === "cpu.cfs_period_us") quota.period = text;
    else if (file === "cpuset.cpus") setLast(properties, "AllowedCPUs", "ay", bitmap(text));
    else if (file === "cpuset.mems") setLast(properties, "AllowedMemoryNodes", "ay", bitmap(text));
    else if (file === "io.weight" || file === "io.bfq.weight") addIoWeight(properties, file, text);
    else if (file === "memory.oom.group") setLast(properties, "OOMPolicy", "s", text === "1" ? "kill" : "continue");
  }
  // systemd's way to say cpu.idle
  if (idle) setLast(properties, "CPUWeight", "t", "0");
  addQuota(properties, quota);
  return properties;
}

/** A later write to a file wins, as in the cgroup itself. */
function setLast(properties: Property[], name: string, type: string, value: Value): void {
  for (let i = 0; i < properties.length; i++) if ((properties[i] as Property).name === name) properties.splice(i, 1);
  properties.push({ name, value: { type, value } });
}

function limit(file: string, text: string): string {
  if (text === "max" || text.charAt(0) === "-") return INFINITY;
  if (!/^\d+$/.test(text)) throw notFor(file, text);
  // systemd takes no 0 here; a container with one process more than none is as good as dead too
  return file === "pids.max" && Number(text) === 0 ? "1" : text;
}

function notFor(file: string, text: string): unknown {
  return runtimeError("InvalidArgument", `apply linux.resources: "${text}" is no value for ${file}`);
}

/**
 * systemd thinks in time per second and keeps it in whole percents: rounded up, since the container's own cgroup has
 * the exact quota and its parent must not be below it.
 */
function addQuota(properties: Property[], quota: { readonly value?: string; readonly period?: string }): void {
  if (quota.value === undefined && quota.period === undefined) return;
  const period = Number(quota.period || DEFAULT_PERIOD_US);
  const value = Number(quota.value || 0);
  if (!(period > 0) || !/^-?\d+$/.test(quota.value || "0")) throw notFor("cpu.max", `${quota.value} ${quota.period}`);
  if (quota.period !== undefined) setLast(properties, "CPUQuotaPeriodUSec", "t", String(period));
  const perSecond = value > 0 ? String(Math.ceil((value * 1_000_000) / period / 10_000 - 1e-9) * 10_000) : INFINITY;
  setLast(properties, "CPUQuotaPerSecUSec", "t", perSecond);
}

/** "0-2,8" as a bit map, lowest CPU first. */
export function bitmap(list: string): number[] {
  const bytes: number[] = [];
  const ranges = list.split(",");
  for (let i = 0; i < ranges.length; i++) {
    const match = /^\s*(\d+)(?:-(\d+))?\s*$/.exec(ranges[i] as string);
    if (!match) {
      if (/^\s*$/.test(ranges[i] as string)) continue;
      throw notFor("cpuset.cpus or cpuset.mems", list);
    }
    const from = Number(match[1]);
    const to = match[2] === undefined ? from : Number(match[2]);
    if (from > to || to >= 65536) throw notFor("cpuset.cpus or cpuset.mems", list);
    while (bytes.length <= to >> 3) bytes.push(0);
    for (let bit = from; bit <= to; bit++) bytes[bit >> 3] = (bytes[bit >> 3] as number) | (1 << (bit & 7));
  }
  if (bytes.length === 0) throw notFor("cpuset.cpus or cpuset.mems", list);
  return bytes;
}

/** `default N` or `N`; lines for one device (`8:0 N`) have no effect between siblings that systemd would know of. */
function addIoWeight(properties: Property[], file: string, text: string): void {
  const match = /^(?:default\s+)?(\d+)$/m.exec(text);
  if (!match) return;
  const weight = Number(match[1]);
  setLast(properties, "IOWeight", "t", String(file === "io.weight" ? weight : fromBfq(weight)));
}

/** The weight that systemd turns into this one of BFQ: 1 to 1000 for 1 to 10000, with 100 in both. */
function fromBfq(weight: number): number {
  return weight <= 100 ? weight : Math.floor(100 + ((weight - 100) * 9900) / 900);
}

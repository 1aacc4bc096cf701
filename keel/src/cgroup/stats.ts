/** A number, or a string of digits when it has more than 2^53 takes. */
export type Count = number | string;

type Fields = { [name: string]: unknown };

/** Reads a file of one of the container's cgroups; undefined when it is not there. */
export type ReadFile = (file: string) => string | undefined;

function count(text: string | undefined): Count {
  const digits = (text || "").replace(/\n$/, "");
  if (digits === "" || digits === "max") return digits === "" ? 0 : "18446744073709551615";
  const number = Number(digits);
  return number > 9007199254740991 ? digits : number;
}

/** `name value` lines, with the space or colon between them. */
function keyed(text: string | undefined): { [name: string]: Count } {
  const found: { [name: string]: Count } = {};
  const lines = (text || "").split("\n");
  for (let i = 0; i < lines.length; i++) {
    const match = /^(\S+) (\d+)$/.exec(lines[i] as string);
    if (match) found[match[1] as string] = count(match[2]);
  }
  return found;
}

function numbers(text: string | undefined): Count[] {
  const words = (text || "").split(/\s+/);
  const found: Count[] = [];
  for (let i = 0; i < words.length; i++) if (words[i]) found.push(count(words[i]));
  return found;
}

/** USER_HZ, which is 100 on every architecture: one tick in nanoseconds. */
const TICK = 1e7;
const zero = (value: Count | undefined): Count => (value === undefined ? 0 : value);

function memoryGroup(read: ReadFile, name: string): Fields | undefined {
  const usage = read(`memory.${name}usage_in_bytes`);
  if (usage === undefined) return undefined;
  return {
    limit: count(read(`memory.${name}limit_in_bytes`)),
    usage: count(usage),
    max: count(read(`memory.${name}max_usage_in_bytes`)),
    failcnt: count(read(`memory.${name}failcnt`)),
  };
}

/** `8:0 Read 4096` → the entries runc prints. */
function blockEntries(text: string | undefined): Fields[] {
  const entries: Fields[] = [];
  const lines = (text || "").split("\n");
  for (let i = 0; i < lines.length; i++) {
    const match = /^(\d+):(\d+) (\w+) (\d+)$/.exec(lines[i] as string);
    if (match) entries.push({ major: Number(match[1]), minor: Number(match[2]), op: match[3], value: count(match[4]) });
  }
  return entries;
}

/** The data of an event of type "stats" with cgroup v1, in runc's shape. `files` lists the names in a cgroup. */
export function statsV1(read: ReadFile, hugePages: readonly string[]): Fields {
  const ticks = keyed(read("cpuacct.stat"));
  const throttling = keyed(read("cpu.stat"));
  const memory = keyed(read("memory.stat"));
  const hugetlb: Fields = {};
  for (let i = 0; i < hugePages.length; i++) {
    const size = hugePages[i] as string;
    hugetlb[size] = {
      usage: count(read(`hugetlb.${size}.usage_in_bytes`)),
      max: count(read(`hugetlb.${size}.max_usage_in_bytes`)),
      failcnt: count(read(`hugetlb.${size}.failcnt`)),
    };
  }
  return {
    cpu: {
      usage: {
        total: count(read("cpuacct.usage")),
        percpu: numbers(read("cpuacct.usage_percpu")),
        kernel: Number(zero(ticks["system"])) * TICK,
        user: Number(zero(ticks["user"])) * TICK,
      },
      throttling: {
        periods: zero(throttling["nr_periods"]),
        throttledPeriods: zero(throttling["nr_throttled"]),
        throttledTime: zero(throttling["throttled_time"]),
      },
    },
    cpuset: { cpus: line(read("cpuset.cpus")), mems: line(read("cpuset.mems")) },
    memory: {
      cache: zero(memory["total_cache"] || memory["cache"]),
      usage: memoryGroup(read, ""),
      swap: memoryGroup(read, "memsw."),
      kernel: memoryGroup(read, "kmem."),
      kernelTCP: memoryGroup(read, "kmem.tcp."),
      raw: memory,
    },
    pids: { current: count(read("pids.current")), limit: pidsLimit(read) },
    blkio: {
      ioServiceBytesRecursive: blockEntries(
        read("blkio.bfq.io_service_bytes_recursive") || read("blkio.throttle.io_service_bytes_recursive"),
      ),
      ioServicedRecursive: blockEntries(
        read("blkio.bfq.io_serviced_recursive") || read("blkio.throttle.io_serviced_recursive"),
      ),
    },
    hugetlb,
    intel_rdt: {},
    network_interfaces: null,
  };
}

function line(text: string | undefined): string {
  return (text || "").replace(/\n$/, "");
}

function pidsLimit(read: ReadFile): Count {
  // no limit is 0, as runc prints it
  const text = line(read("pids.max"));
  return text === "max" ? 0 : count(text);
}

/** `8:0 rbytes=1 wbytes=2 rios=3 wios=4 …` as version 1 would have told it. */
function ioStat(text: string | undefined): { bytes: Fields[]; operations: Fields[] } {
  const bytes: Fields[] = [];
  const operations: Fields[] = [];
  const lines = (text || "").split("\n");
  const kinds: readonly (readonly [string, string, Fields[]])[] = [
    ["rbytes", "Read", bytes],
    ["wbytes", "Write", bytes],
    ["rios", "Read", operations],
    ["wios", "Write", operations],
  ];
  for (let i = 0; i < lines.length; i++) {
    const match = /^(\d+):(\d+) (.*)$/.exec(lines[i] as string);
    if (!match) continue;
    for (let k = 0; k < kinds.length; k++) {
      const [key, op, into] = kinds[k] as (typeof kinds)[0];
      const value = new RegExp(`\\b${key}=(\\d+)`).exec(match[3] as string);
      if (value) into.push({ major: Number(match[1]), minor: Number(match[2]), op, value: count(value[1]) });
    }
  }
  return { bytes, operations };
}

/** `some avg10=0.00 avg60=0.00 avg300=0.00 total=0` and the same for full; undefined without CONFIG_PSI. */
function pressure(text: string | undefined): Fields | undefined {
  if (text === undefined) return undefined;
  const psi: Fields = {};
  const lines = text.split("\n");
  for (let i = 0; i < lines.length; i++) {
    const match = /^(some|full) avg10=(\S+) avg60=(\S+) avg300=(\S+) total=(\d+)$/.exec(lines[i] as string);
    if (match)
      psi[match[1] as string] = {
        avg10: Number(match[2]),
        avg60: Number(match[3]),
        avg300: Number(match[4]),
        total: count(match[5]),
      };
  }
  return psi;
}

/** The same with cgroup v2. */
export function statsV2(read: ReadFile, hugePages: readonly string[]): Fields {
  const cpu = keyed(read("cpu.stat"));
  const memory = keyed(read("memory.stat"));
  const io = ioStat(read("io.stat"));
  const hugetlb: Fields = {};
  for (let i = 0; i < hugePages.length; i++) {
    const size = hugePages[i] as string;
    const events = keyed(read(`hugetlb.${size}.events`));
    hugetlb[size] = { usage: count(read(`hugetlb.${size}.current`)), failcnt: zero(events["max"]) };
  }
  const micro = (name: string): number => Number(zero(cpu[name])) * 1000;
  return {
    cpu: {
      usage: { total: micro("usage_usec"), kernel: micro("system_usec"), user: micro("user_usec") },
      throttling: {
        periods: zero(cpu["nr_periods"]),
        throttledPeriods: zero(cpu["nr_throttled"]),
        throttledTime: micro("throttled_usec"),
      },
      psi: pressure(read("cpu.pressure")),
    },
    cpuset: { cpus: line(read("cpuset.cpus.effective")), mems: line(read("cpuset.mems.effective")) },
    memory: {
      cache: zero(memory["file"]),
      usage: {
        limit: count(read("memory.max")),
        usage: count(read("memory.current")),
        max: count(read("memory.peak")),
        failcnt: zero(keyed(read("memory.events"))["max"]),
      },
      swap: { limit: count(read("memory.swap.max")), usage: count(read("memory.swap.current")) },
      raw: memory,
      psi: pressure(read("memory.pressure")),
    },
    pids: { current: count(read("pids.current")), limit: pidsLimit(read) },
    blkio: {
      ioServiceBytesRecursive: io.bytes,
      ioServicedRecursive: io.operations,
      psi: pressure(read("io.pressure")),
    },
    hugetlb,
    intel_rdt: {},
    network_interfaces: null,
  };
}

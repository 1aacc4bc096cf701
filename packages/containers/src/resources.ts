import type { HostFacts } from "@berth/linux";
import { invalid, unsupported } from "./errors.ts";
import type { ResolvedDevice, RuntimeDevice, RuntimeDeviceRule, RuntimeResources } from "./plan-types.ts";
import type { ContainerSpec, Resources } from "./types.ts";

const CPU_PERIOD_US = 100_000;
/** Docker's: less, and the runtime itself does not fit. */
const MIN_MEMORY_BYTES = 6 * 1024 * 1024;
/** The runtime makes these in every container. */
const OWN_DEVICES = new Set(["null", "zero", "full", "random", "urandom", "tty", "ptmx"].map((name) => `/dev/${name}`));

/**
 * Limits of the container's control group.
 *
 * @throws {BerthError} InvalidArgument if limits contradict each other or this host's size; FailedPrecondition if the
 * host cannot hold a limit that is asked for
 */
export function planResources(
  spec: ContainerSpec,
  devices: readonly ResolvedDevice[],
  host: HostFacts,
): RuntimeResources {
  const memory = planMemory(spec.resources, host);
  const cpu = planCpu(spec.resources, host);
  const pids = planPids(spec.resources, host);
  return {
    devices: planDeviceRules(spec.privileged, devices),
    ...(memory === undefined ? {} : { memory }),
    ...(cpu === undefined ? {} : { cpu }),
    ...(pids === undefined ? {} : { pids: { limit: pids } }),
  };
}

function planMemory(wanted: Resources, host: HostFacts): RuntimeResources["memory"] {
  const { memoryBytes: limit, memorySwapBytes: swap, memoryReservationBytes: reservation } = wanted;
  if (limit === undefined && swap === undefined && reservation === undefined) return undefined;
  needController(host, "memory", "limit memory");
  if (limit !== undefined && limit < MIN_MEMORY_BYTES) {
    throw invalid(`limit memory to ${limit} bytes`, `the minimum is ${MIN_MEMORY_BYTES} bytes (6 MiB)`);
  }
  if (swap !== undefined) checkSwap(swap, limit, host);
  if (reservation !== undefined && limit !== undefined && reservation > limit) {
    throw invalid(`reserve ${reservation} bytes of memory`, `more than the limit of ${limit} bytes`);
  }
  // Docker's default: as much swap as memory.
  const both = swap ?? (limit !== undefined && host.cgroup.swap ? 2 * limit : undefined);
  return {
    ...(limit === undefined ? {} : { limit }),
    ...(both === undefined ? {} : { swap: both }),
    ...(reservation === undefined ? {} : { reservation }),
  };
}

function checkSwap(swap: number, limit: number | undefined, host: HostFacts): void {
  const what = `limit memory and swap to ${swap} bytes`;
  if (!host.cgroup.swap) {
    throw unsupported(what, "this kernel does not account swap", "boot with swapaccount=1, or leave --memory-swap out");
  }
  if (limit === undefined) throw invalid(what, "there is no memory limit", "set --memory too");
  if (swap !== -1 && swap < limit) throw invalid(what, `less than the memory limit of ${limit} bytes`);
}

function planCpu(wanted: Resources, host: HostFacts): RuntimeResources["cpu"] {
  const { cpus, cpuShares: shares, cpusetCpus, cpusetMems } = wanted;
  const sets = cpusetCpus !== undefined || cpusetMems !== undefined;
  if (sets) needController(host, "cpuset", "choose processors");
  if (cpus !== undefined || shares !== undefined) needController(host, "cpu", "limit processors");
  if (cpus !== undefined && cpus > host.cpus) {
    throw invalid(`use ${cpus} processors`, `this host has ${host.cpus}`, `choose from 0.01 to ${host.cpus}.00`);
  }
  const cpu = {
    ...(shares === undefined ? {} : { shares }),
    ...(cpus === undefined ? {} : { period: CPU_PERIOD_US, quota: Math.round(cpus * CPU_PERIOD_US) }),
    ...(cpusetCpus === undefined ? {} : { cpus: cpusetCpus }),
    ...(cpusetMems === undefined ? {} : { mems: cpusetMems }),
  };
  return Object.keys(cpu).length === 0 ? undefined : cpu;
}

/** Docker takes 0 and negative numbers as unlimited, which a new group is. */
function planPids(wanted: Resources, host: HostFacts): number | undefined {
  if (wanted.pidsLimit === undefined || wanted.pidsLimit <= 0) return undefined;
  needController(host, "pids", "limit processes");
  return wanted.pidsLimit;
}

function needController(host: HostFacts, name: string, what: string): void {
  if (host.cgroup.controllers.includes(name)) return;
  throw unsupported(
    what,
    `this host has no cgroup controller ${name}`,
    "enable it in the kernel, or leave the limit out",
  );
}

/** All devices are denied, then the container's own allowed; the runtime adds those that every container has. */
function planDeviceRules(privileged: boolean, devices: readonly ResolvedDevice[]): readonly RuntimeDeviceRule[] {
  if (privileged) return [{ allow: true, access: "rwm" }];
  const own = devices.map(({ type, major, minor, access }) => ({ allow: true, type, major, minor, access }));
  return [{ allow: false, access: "rwm" }, ...own];
}

/** Device files to make. */
export function planDevices(devices: readonly ResolvedDevice[]): readonly RuntimeDevice[] {
  return devices
    .filter((device) => !OWN_DEVICES.has(device.path))
    .map(({ path, type, major, minor, mode, uid, gid }) => ({ path, type, major, minor, fileMode: mode, uid, gid }));
}

import { parseCapability } from "./capabilities.ts";
import { invalid } from "./errors.ts";
import { checkName } from "./names.ts";
import { parseSignal } from "./signals.ts";
import { planTmpfs } from "./tmpfs.ts";
import type { ContainerSpec, DeviceSpec, MountSpec, PortMapping, Resources, Ulimit } from "./types.ts";
import { checkUserns } from "./userns.ts";

const ULIMITS: ReadonlySet<string> = new Set(
  "cpu fsize data stack core rss nproc nofile memlock as locks sigpending msgqueue nice rtprio rttime".split(" "),
);
const PROPAGATIONS: ReadonlySet<string> = new Set(["private", "rprivate", "shared", "rshared", "slave", "rslave"]);
const IPV4 = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/;
const IPV6 = /^(?=.*:.*:)[0-9a-fA-F:.]{2,45}$/;
const DEVICE_ACCESS = /^(?!.*(.).*\1)[rwm]{1,3}$/;

/**
 * Everything about a container's specification that can be checked without this host and the image.
 *
 * @throws {BerthError} InvalidArgument naming the first value that is not right
 */
export function checkSpec(spec: ContainerSpec): void {
  if (spec.name !== undefined) checkName(spec.name);
  if (spec.hostname !== undefined) checkHostname(spec.hostname);
  for (const entry of spec.env) {
    if (entry === "" || entry.startsWith("=")) throw invalid(`set environment "${entry}"`, "no name before =");
  }
  if (spec.workdir !== undefined && !/^(\/|$)/.test(spec.workdir)) {
    throw invalid(`use working directory "${spec.workdir}"`, "the path must be absolute");
  }
  for (const mount of spec.mounts) checkMount(mount);
  checkPorts(spec.ports);
  for (const address of spec.dns) checkAddress(address, `use name server "${address}"`);
  for (const entry of spec.addHosts) checkAddHost(entry);
  checkResources(spec.resources);
  for (const limit of spec.ulimits) checkUlimit(limit);
  for (const name of Object.keys(spec.sysctls)) checkSysctl(name, spec.network);
  for (const device of spec.devices) checkDevice(device);
  for (const cap of [...spec.capAdd, ...spec.capDrop]) parseCapability(cap);
  checkUserns(spec.userns);
  if (spec.stopSignal !== undefined) parseSignal(spec.stopSignal);
}

function checkDevice({ hostPath, containerPath, access }: DeviceSpec): void {
  if (!DEVICE_ACCESS.test(access)) {
    throw invalid(`add device ${hostPath}`, `access "${access}" is not made of r, w and m`);
  }
  if (!containerPath.startsWith("/")) {
    throw invalid(`add device ${hostPath}`, `its path in the container, "${containerPath}", must be absolute`);
  }
}

function checkHostname(hostname: string): void {
  if (/^(?=.{1,63}$)[a-zA-Z0-9](?:[a-zA-Z0-9_.-]*[a-zA-Z0-9])?$/.test(hostname)) return;
  throw invalid(`use hostname "${hostname}"`, "not a valid name", "use up to 63 letters, digits, . and -");
}

function checkMount(mount: MountSpec): void {
  if (mount.kind === "tmpfs") planTmpfs(mount.options);
  if (mount.kind !== "bind") return;
  const what = `mount "${mount.source}" at ${mount.target}`;
  if (!mount.source.startsWith("/")) throw invalid(what, "the path on the host must be absolute");
  if (mount.source.includes("\0")) throw invalid(what, "the path contains a NUL byte");
  if (mount.propagation !== undefined && !PROPAGATIONS.has(mount.propagation)) {
    throw invalid(what, `unknown propagation "${mount.propagation}"`, `use one of ${[...PROPAGATIONS].join(", ")}`);
  }
}

function checkPorts(ports: readonly PortMapping[]): void {
  const seen = new Set<string>();
  for (const port of ports) {
    const text = `${port.hostIp === "" ? "" : `${port.hostIp}:`}${port.hostPort}:${port.containerPort}/${port.protocol}`;
    const isPort = (value: number, min: number): boolean => Number.isInteger(value) && value >= min && value <= 65_535;
    if (!isPort(port.hostPort, 0) || !isPort(port.containerPort, 1)) {
      throw invalid(`publish ${text}`, "ports are 1 to 65535");
    }
    if (port.hostIp !== "") checkAddress(port.hostIp, `publish ${text}`);
    const key = `${port.hostIp} ${port.hostPort} ${port.protocol}`;
    if (port.hostPort !== 0 && seen.has(key)) throw invalid(`publish ${text}`, "the host port is asked for twice");
    seen.add(key);
  }
}

function checkAddress(text: string, what: string): void {
  if (!IPV4.test(text) && !IPV6.test(text)) throw invalid(what, `"${text}" is no IP address`);
}

function checkAddHost(entry: string): void {
  const at = entry.indexOf(":");
  const what = `add host "${entry}"`;
  if (at < 1) throw invalid(what, "not of the form NAME:ADDRESS");
  const address = entry.slice(at + 1);
  if (address !== "host-gateway") checkAddress(address, what);
}

function checkResources(wanted: Resources): void {
  const atLeast = (value: number | undefined, min: number, what: string): void => {
    if (value !== undefined && !(value >= min)) throw invalid(`limit ${what} to ${value}`, `the minimum is ${min}`);
  };
  atLeast(wanted.memorySwapBytes, -1, "memory and swap");
  atLeast(wanted.memoryReservationBytes, 1, "reserved memory");
  atLeast(wanted.cpus, 0.01, "processors");
  atLeast(wanted.cpuShares, 2, "processor shares");
  atLeast(wanted.pidsLimit, -1, "processes");
  atLeast(wanted.shmBytes, 1, "/dev/shm");
  for (const list of [wanted.cpusetCpus, wanted.cpusetMems]) {
    if (list !== undefined && !/^\d+(-\d+)?(,\d+(-\d+)?)*$/.test(list)) {
      throw invalid(`use processors or memory nodes "${list}"`, "not a list", "write for example 0-3,5");
    }
  }
  const adjust = wanted.oomScoreAdj;
  if (adjust !== undefined && !(Number.isInteger(adjust) && adjust >= -1000 && adjust <= 1000)) {
    throw invalid(`set oom score adjustment ${adjust}`, "must be -1000 to 1000");
  }
}

function checkUlimit({ name, soft, hard }: Ulimit): void {
  const what = `set ulimit ${name}=${soft}:${hard}`;
  if (!ULIMITS.has(name)) throw invalid(what, `there is no limit ${name}`, `use one of ${[...ULIMITS].join(", ")}`);
  if (![soft, hard].every((value) => Number.isSafeInteger(value) && value >= -1)) throw invalid(what, "not numbers");
  if (hard !== -1 && (soft === -1 || soft > hard)) throw invalid(what, "the soft limit is above the hard limit");
}

function checkSysctl(name: string, network: ContainerSpec["network"]): void {
  const dotted = name.replaceAll("/", ".");
  if (!/^[a-zA-Z0-9_-]+(\.[a-zA-Z0-9_@:-]+)+$/.test(dotted)) throw invalid(`set sysctl "${name}"`, "not a name");
  if (network === "host" && dotted.startsWith("net.")) {
    throw invalid(`set sysctl ${name}`, "the container uses the host's network", "leave it out, or --network host");
  }
}

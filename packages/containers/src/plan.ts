import type { ImageConfig } from "@berth/oci";
import { planCapabilities } from "./capabilities.ts";
import { unsupported } from "./errors.ts";
import { planRootPropagation, planRuntimeMounts } from "./mounts.ts";
import type { RuntimeLinux, RuntimeProcess, RuntimeSpec, SpecInput } from "./plan-types.ts";
import { planProcess } from "./process.ts";
import { planDevices, planResources } from "./resources.ts";
import { isAtLeast, planSeccomp } from "./seccomp-plan.ts";
import { parseSignal } from "./signals.ts";
import type { ContainerSpec } from "./types.ts";
import { usernsOf } from "./userns.ts";

/** runtime-spec version that the documents follow: no field of a later one is used. */
const OCI_VERSION = "1.0.2";
/** Docker's; what a kernel does not have is no error. */
const MASKED: readonly string[] = [
  "/proc/acpi",
  "/proc/asound",
  "/proc/interrupts",
  "/proc/kcore",
  "/proc/keys",
  "/proc/latency_stats",
  "/proc/sched_debug",
  "/proc/scsi",
  "/proc/timer_list",
  "/proc/timer_stats",
  "/sys/devices/virtual/powercap",
  "/sys/firmware",
];
const READ_ONLY: readonly string[] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];
const MAX_GROUP = 2_147_483_647;
/** net.ipv4.ip_unprivileged_port_start came with Linux 4.11. */
const PORT_START_KERNEL = "4.11";

/**
 * The OCI runtime's config.json: docker's defaults, the image's configuration and the user's wishes as one value.
 * Pure: what it needs of the host is in the input.
 *
 * @throws {BerthError} InvalidArgument or FailedPrecondition naming what cannot be had
 * @see https://github.com/opencontainers/runtime-spec/blob/main/config.md
 */
export function planSpec(input: SpecInput): RuntimeSpec {
  const { spec, host } = input;
  const caps = planCapabilities(spec, host.capabilities);
  checkApparmor(spec, host.apparmor);
  return {
    ociVersion: OCI_VERSION,
    process: planProcess({ ...input, caps, apparmor: host.apparmor }),
    root: { path: input.rootfs, readonly: spec.readOnly },
    hostname: input.hostname,
    mounts: planRuntimeMounts(input),
    annotations: {},
    linux: planLinux(input, caps),
  };
}

/** Text of config.json or of its process object: 64-bit values stay exact. */
export function formatSpec(spec: RuntimeSpec | RuntimeProcess): string {
  return JSON.stringify(spec, (_key, value: unknown) =>
    typeof value === "bigint" ? rawJson(value.toString()) : value,
  );
}

/** ECMAScript's JSON.rawJSON, which TypeScript does not declare yet. */
const rawJson: (text: string) => unknown = (JSON as unknown as { rawJSON: (text: string) => unknown }).rawJSON;

/** Name of the container to itself: the user's; the host's on its network; else the short id. */
export function planHostname(
  spec: Pick<ContainerSpec, "hostname" | "network">,
  id: string,
  hostHostname: string,
): string {
  if (spec.hostname !== undefined && spec.hostname !== "") return spec.hostname;
  return spec.network === "host" ? hostHostname : id.slice(0, 12);
}

/** Number of the signal that stops the container: the user's, else the image's, else SIGTERM. */
export function planStopSignal(spec: Pick<ContainerSpec, "stopSignal">, image: ImageConfig): number {
  return parseSignal(spec.stopSignal ?? (image.config?.StopSignal || "TERM"));
}

function checkApparmor(spec: ContainerSpec, enabled: boolean): void {
  const profile = spec.security.apparmor;
  if (profile === undefined || profile === "unconfined" || enabled) return;
  throw unsupported(`use AppArmor profile ${profile}`, "AppArmor is not enabled on this host");
}

function planLinux(input: SpecInput, caps: readonly string[]): RuntimeLinux {
  const { spec, host, devices } = input;
  const open = spec.privileged || spec.security.systemPathsUnconfined;
  const profile = spec.privileged && spec.security.seccomp === "default" ? "unconfined" : spec.security.seccomp;
  const seccomp = planSeccomp(profile, caps, host);
  const nodes = planDevices(devices);
  const propagation = planRootPropagation(input.mounts);
  return {
    namespaces: planNamespaces(input),
    ...planMappings(input),
    ...(nodes.length === 0 ? {} : { devices: nodes }),
    cgroupsPath: input.cgroupsPath,
    resources: planResources(spec, devices, host),
    ...(propagation === undefined ? {} : { rootfsPropagation: propagation }),
    ...(seccomp === undefined ? {} : { seccomp }),
    sysctl: planSysctls(input),
    maskedPaths: open ? [] : MASKED,
    readonlyPaths: open ? [] : READ_ONLY,
  };
}

/** A control group namespace only with cgroup v2, as docker: programs that read version 1's paths expect the host's. */
function planNamespaces({ spec, host, netnsPath, usernsPath }: SpecInput): RuntimeLinux["namespaces"] {
  const own = ["pid", "ipc", "uts", "mount", ...(host.cgroup.version === "2" ? ["cgroup"] : [])];
  const network = netnsPath === undefined ? { type: "network" } : { type: "network", path: netnsPath };
  const user = usernsPath === undefined ? { type: "user" } : { type: "user", path: usernsPath };
  return [
    ...own.map((type) => ({ type })),
    ...(spec.network === "host" ? [] : [network]),
    ...(spec.userns === undefined ? [] : [user]),
  ];
}

/** A namespace that is joined has its mappings. */
function planMappings({ spec, usernsPath }: SpecInput): Pick<RuntimeLinux, "uidMappings" | "gidMappings"> {
  const ids = usernsOf(spec);
  return ids === undefined || usernsPath !== undefined ? {} : { uidMappings: ids.uid, gidMappings: ids.gid };
}

/** As docker: programs without rights may ping and bind low ports in a network namespace of their own. */
function planSysctls({ spec, host }: SpecInput): Readonly<Record<string, string>> {
  if (spec.network === "host") return spec.sysctls;
  // In a user namespace the kernel takes only groups that it has.
  const own = usernsOf(spec);
  const count = own === undefined ? host.groups : (own.gid.find(({ containerID }) => containerID === 0)?.size ?? 0);
  const groups = Math.min(count - 1, MAX_GROUP);
  const lowPorts = isAtLeast(host.kernelRelease, PORT_START_KERNEL);
  return {
    ...(groups < 0 ? {} : { "net.ipv4.ping_group_range": `0 ${groups}` }),
    ...(lowPorts ? { "net.ipv4.ip_unprivileged_port_start": "0" } : {}),
    ...spec.sysctls,
  };
}

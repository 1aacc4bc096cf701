import type { HostFacts } from "@berth/linux";
import type { ImageConfig } from "@berth/oci";
import { invalid } from "./errors.ts";
import { cleanPath, depthOf } from "./paths.ts";
import type { RuntimeMount, SpecInput } from "./plan-types.ts";
import { isAtLeast } from "./seccomp-plan.ts";
import { planTmpfs } from "./tmpfs.ts";
import type { ContainerMount, ContainerSpec, MountSpec } from "./types.ts";

/** Where `--init` finds its program; docker's path. */
export const INIT_PATH = "/sbin/docker-init";

const DEFAULT_SHM_BYTES = 64 * 1024 * 1024;
/** mount_setattr(2) with AT_RECURSIVE. */
const RECURSIVE_READ_ONLY_KERNEL = "5.12";
/** Own file systems of a container that stay writable when its root is read-only. */
const WRITABLE = ["/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue"];

/**
 * All mounts of a container: the user's, and an anonymous volume for each of the image's volumes that the user mounts
 * nothing over. Targets are clean paths.
 *
 * @throws {BerthError} InvalidArgument if a target is not absolute, is `/`, or occurs twice
 */
export function planMounts(spec: Pick<ContainerSpec, "image" | "mounts">, image: ImageConfig): readonly MountSpec[] {
  const seen = new Set<string>();
  const own = spec.mounts.map((mount) => {
    const target = checkTarget(mount.target, `mount at "${mount.target}"`);
    if (seen.has(target)) throw invalid(`mount at "${mount.target}"`, "duplicate mount point");
    seen.add(target);
    return { ...mount, target };
  });
  const volumes = Object.keys(image.config?.Volumes ?? {}).map((path) =>
    checkTarget(`/${path}`, `read image ${spec.image}: volume "${path}"`),
  );
  const more = [...new Set(volumes)].filter((target) => !seen.has(target)).sort();
  return [...own, ...more.map((target) => ({ kind: "volume" as const, target, readOnly: false, noCopy: false }))];
}

function checkTarget(path: string, what: string): string {
  if (!path.startsWith("/")) throw invalid(what, "the path in the container must be absolute");
  if (path.includes("\0")) throw invalid(what, "the path contains a NUL byte");
  const clean = cleanPath(path);
  if (clean === "/") throw invalid(what, "the root of the container cannot be a mount point");
  return clean;
}

/**
 * A mount whose source is known.
 *
 * @param source absolute host path: the bind's, or the volume's directory; empty for tmpfs
 * @param name of the volume; empty for others
 */
export function planContainerMount(mount: MountSpec, source: string, name: string): ContainerMount {
  const common = { kind: mount.kind, name, source, target: mount.target };
  if (mount.kind === "tmpfs") {
    const options = planTmpfs(mount.options);
    return { ...common, readOnly: options.includes("ro"), options, copyUp: false };
  }
  if (mount.kind === "volume") {
    return { ...common, readOnly: mount.readOnly, options: ["rbind", "rprivate"], copyUp: !mount.noCopy };
  }
  const options = [mount.nonRecursive === true ? "bind" : "rbind", mount.propagation ?? "rprivate"];
  return { ...common, readOnly: mount.readOnly, options, copyUp: false };
}

/** Mounts of config.json in the order in which they are made: docker's defaults, files, then the others, outer first. */
export function planRuntimeMounts(input: SpecInput): readonly RuntimeMount[] {
  const { spec, mounts, files, host } = input;
  const targets = new Set(mounts.map((mount) => mount.target));
  const defaults = defaultMounts(spec).filter(
    ({ destination }) => !targets.has(destination) && !(targets.has("/dev") && destination.startsWith("/dev/")),
  );
  const bound = [
    fileMount("/etc/resolv.conf", files.resolvConf, spec.readOnly),
    fileMount("/etc/hostname", files.hostname, spec.readOnly),
    fileMount("/etc/hosts", files.hosts, spec.readOnly),
    fileMount(INIT_PATH, spec.init ? input.keelPath : undefined, true),
  ].flatMap((mount) => (mount !== undefined && !targets.has(mount.destination) ? [mount] : []));
  const own = mounts.map((mount) => toRuntime(mount, host));
  const sorted = [...bound, ...own].sort((a, b) => depthOf(a.destination) - depthOf(b.destination));
  return [...defaults, ...sorted];
}

/**
 * Propagation of the root: a mount that shall see, or show, later mounts of the host needs a root that does.
 * Undefined: the runtime's default.
 */
export function planRootPropagation(mounts: readonly ContainerMount[]): string | undefined {
  const all = new Set(mounts.filter((mount) => mount.kind !== "tmpfs").flatMap((mount) => mount.options));
  if (all.has("shared") || all.has("rshared")) return "shared";
  return all.has("slave") || all.has("rslave") ? "rslave" : undefined;
}

function defaultMounts(spec: ContainerSpec): readonly RuntimeMount[] {
  const shm = spec.resources.shmBytes ?? DEFAULT_SHM_BYTES;
  const sysAccess = spec.privileged ? "rw" : "ro";
  const strict = ["nosuid", "noexec", "nodev"];
  // sysfs is of a network, and only the user namespace that owns it may mount it.
  const hostSys = spec.userns !== undefined && spec.network === "host";
  const all = [
    mount("/proc", "proc", "proc", strict),
    mount("/dev", "tmpfs", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
    mount("/dev/pts", "devpts", "devpts", ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
    hostSys
      ? mount("/sys", "bind", "/sys", ["rbind", "rslave", ...strict, "ro", "rro"])
      : mount("/sys", "sysfs", "sysfs", [...strict, sysAccess]),
    mount("/sys/fs/cgroup", "cgroup", "cgroup", [...strict, "relatime", sysAccess]),
    mount("/dev/mqueue", "mqueue", "mqueue", strict),
    mount("/dev/shm", "tmpfs", "shm", [...strict, "mode=1777", `size=${shm}`]),
  ];
  if (!spec.readOnly) return all;
  return all.map((one) =>
    WRITABLE.includes(one.destination) || one.options.includes("ro") || spec.privileged
      ? one
      : { ...one, options: [...one.options, "ro"] },
  );
}

function mount(destination: string, type: string, source: string, options: readonly string[]): RuntimeMount {
  return { destination, type, source, options };
}

function fileMount(destination: string, source: string | undefined, readOnly: boolean): RuntimeMount | undefined {
  if (source === undefined) return undefined;
  return mount(destination, "bind", source, ["rbind", "rprivate", ...(readOnly ? ["ro"] : [])]);
}

function toRuntime(one: ContainerMount, host: HostFacts): RuntimeMount {
  if (one.kind === "tmpfs") return mount(one.target, "tmpfs", "tmpfs", one.options);
  // Also what is mounted below the source; runtimes that do not know "rro" still have "ro".
  const deep = one.options.includes("rbind") && isAtLeast(host.kernelRelease, RECURSIVE_READ_ONLY_KERNEL);
  const access = deep ? ["ro", "rro"] : ["ro"];
  return mount(one.target, "bind", one.source, [...one.options, ...(one.readOnly ? access : [])]);
}

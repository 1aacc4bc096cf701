// Which mounts of a container CRIU cannot make by itself, because what they show lies outside.
import { clean } from "../lib/files.ts";
import { lookup } from "../lib/lookup.ts";
import type { Spec, SpecMount } from "../spec/types.ts";

/** A line of /proc/PID/mountinfo. */
export interface Mounted {
  readonly id: number;
  /** major:minor of the file system. */
  readonly device: string;
  /** What of it is mounted. */
  readonly root: string;
  /** Where, as the container sees it. */
  readonly at: string;
  readonly type: string;
}

export function parseMountinfo(text: string): Mounted[] {
  const found: Mounted[] = [];
  const lines = text.split("\n");
  for (let i = 0; i < lines.length; i++) {
    const words = (lines[i] as string).split(" ");
    const dash = words.indexOf("-", 6);
    if (dash < 0) continue;
    found.push({
      id: Number(words[0]),
      device: words[2] as string,
      root: unescapePath(words[3] as string),
      at: unescapePath(words[4] as string),
      type: words[dash + 1] as string,
    });
  }
  return found;
}

/** The kernel writes blanks and backslashes of a path as \ooo. */
function unescapePath(path: string): string {
  return path.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)));
}

function isBind({ type, options }: SpecMount): boolean {
  const words = options || [];
  return type === "bind" || words.indexOf("bind") >= 0 || words.indexOf("rbind") >= 0;
}

/** Bind mounts of config.json: destination and source, both absolute. */
export function bindMounts(spec: Spec, bundle: string): readonly (readonly [string, string])[] {
  const found: (readonly [string, string])[] = [];
  const mounts = spec.mounts || [];
  for (let i = 0; i < mounts.length; i++) {
    const { destination, source } = mounts[i] as SpecMount;
    if (!isBind(mounts[i] as SpecMount) || source === undefined) continue;
    found.push([clean(destination), clean(source.charAt(0) === "/" ? source : `${bundle}/${source}`)]);
  }
  return found;
}

/**
 * The mounts to tell CRIU of at a checkpoint, as [mount point, name to give it again by].
 *
 * @param binds where config.json's bind mounts really are → their destination there, which restore names them by
 */
export function externalMounts(
  mounted: readonly Mounted[],
  binds: { readonly [at: string]: string },
): readonly (readonly [string, string])[] {
  const found: (readonly [string, string])[] = [];
  for (let i = 0; i < mounted.length; i++) {
    const mount = mounted[i] as Mounted;
    if (mount.at === "/") continue;
    const bound = lookup(binds, mount.at);
    if (bound !== undefined) found.push([mount.at, bound]);
    else if (!isInside(mount, mounted, binds)) found.push([mount.at, nameOf(mount)]);
  }
  return found;
}

/** True for what CRIU makes anew, and for a part of it or of the root that is bound elsewhere. */
function isInside(mount: Mounted, mounted: readonly Mounted[], binds: { readonly [at: string]: string }): boolean {
  // the host's, even when a container mounts all of it
  if (mount.type === "devtmpfs") return false;
  // CRIU moves the container's part of them to its new cgroup
  if (mount.type === "cgroup" || mount.type === "cgroup2") return true;
  for (let i = 0; i < mounted.length; i++) {
    const other = mounted[i] as Mounted;
    if (other.device !== mount.device || lookup(binds, other.at) !== undefined) continue;
    const whole = other.root === "/" && other.at !== "/";
    const below = other.root === "/" ? "/" : `${other.root}/`;
    if (whole || (other.at === "/" && mount.root.indexOf(below) === 0)) return true;
  }
  return false;
}

/** A device of the host that masks a file or stands for a device node is found again by its path there. */
function nameOf(mount: Mounted): string {
  return mount.type === "devtmpfs" || mount.type === "tmpfs" ? clean(`/dev${mount.root}`) : mount.at;
}

/** Names that restore has to know beside those of bind mounts: devices, by which nameOf calls them. */
export function deviceNames(spec: Spec): readonly (readonly [string, string])[] {
  const names = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"];
  const devices = (spec.linux && spec.linux.devices) || [];
  for (let i = 0; i < devices.length; i++) {
    const path = clean((devices[i] as { path: string }).path);
    if (names.indexOf(path) < 0) names.push(path);
  }
  return names.map((name) => [name, name] as const);
}

/** The mounts whose mount points a new copy of the rootfs may lack; what lies on a tmpfs comes with the tmpfs. */
export function missingMountPoints(mounts: readonly SpecMount[]): SpecMount[] {
  const found: SpecMount[] = [];
  for (let i = 0; i < mounts.length; i++) {
    const mount = mounts[i] as SpecMount;
    const destination = clean(mount.destination);
    let covered = mount.type === "cgroup" || mount.type === "cgroup2";
    for (let k = 0; k < mounts.length; k++) {
      const { type, destination: other } = mounts[k] as SpecMount;
      if (type === "tmpfs" && destination.indexOf(`${clean(other)}/`) === 0) covered = true;
    }
    if (covered) continue;
    const { source } = mount;
    found.push(isBind(mount) && source !== undefined ? { destination, source } : { destination });
  }
  return found;
}

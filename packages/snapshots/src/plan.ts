import type { IdRange } from "@berth/protocol";
import type { Change, Choice, Driver, IdMap, LayerProbe, SnapshotMount, Wanted } from "./types.ts";

/**
 * Of every overlay mount. With `metacopy` an upper directory may hold files without their data, which nobody could read
 * who looks at the directory alone; with `index` lower layers could not be shared by mounts that come and go. Both are
 * what kernels may be built with.
 */
const OVERLAY_OPTIONS: readonly string[] = ["index=off", "metacopy=off"];

/** Options of overlay mounts on this host; overlayfs keeps its marks elsewhere in a user namespace. */
export function planOptions(isUserNamespace: boolean): readonly string[] {
  return isUserNamespace ? [...OVERLAY_OPTIONS, "userxattr"] : OVERLAY_OPTIONS;
}

/** The way that layers are shown: the one that was asked for, else the first that works. Undefined: that one does not work. */
export function planChoice(probe: LayerProbe, wanted: Wanted, options: readonly string[]): Choice | undefined {
  const faults: Readonly<Record<Driver, string>> = {
    overlayfs: probe.overlayfs,
    "fuse-overlayfs": probe.fuse,
    native: "",
  };
  const idmap = probe.idmap;
  if (wanted !== "auto") {
    const reason = "asked for by the configuration";
    return faults[wanted] === ""
      ? { driver: wanted, reason, idmap: wanted === "overlayfs" ? idmap : NO_IDMAP, options }
      : undefined;
  }
  if (probe.overlayfs === "")
    return { driver: "overlayfs", reason: "the kernel's own, tried on this file system", idmap, options };
  const why = `overlayfs does not work: ${probe.overlayfs}`;
  if (probe.fuse === "") return { driver: "fuse-overlayfs", reason: why, idmap: NO_IDMAP, options };
  return { driver: "native", reason: `${why}; fuse-overlayfs neither: ${probe.fuse}`, idmap: NO_IDMAP, options };
}

const NO_IDMAP = "only overlayfs has id-mapped layers";

/** The read-only mount that shows `layers` (absolute paths, top first, at least one), itself no layer of another mount. */
export function planView(driver: Driver, layers: readonly string[], options: readonly string[] = []): SnapshotMount {
  const [only = "", ...others] = layers;
  if (driver === "native" || others.length === 0) return { type: "bind", source: only, options: ["bind", "ro"] };
  return { type: typeOf(driver), source: "overlay", options: ["ro", ...options, `lowerdir=${layers.join(":")}`] };
}

/** Directories of one writable snapshot, absolute paths; `lowers` top first. */
export interface Dirs {
  readonly upper: string;
  readonly work: string;
  readonly lowers: readonly string[];
}

/**
 * The mount that shows `lowers` with `upper` above, writable; `work` is its sibling. Without lowers it is a bind mount,
 * since overlayfs needs at least one. The options may be longer than a page: the mounter hands them over one by one
 * (fsconfig, `lowerdir+`).
 */
export function planMount(driver: Driver, dirs: Dirs, options: readonly string[] = []): SnapshotMount {
  const { upper, work, lowers } = dirs;
  if (driver === "native" || lowers.length === 0) return { type: "bind", source: upper, options: ["rbind", "rw"] };
  const paths = [`lowerdir=${lowers.join(":")}`, `upperdir=${upper}`, `workdir=${work}`];
  return { type: typeOf(driver), source: "overlay", options: [...options, ...paths] };
}

function typeOf(driver: Driver): string {
  return driver === "overlayfs" ? "overlay" : driver;
}

/** What undoes the mapping. */
export function invert(ids: IdMap): IdMap {
  const swap = (ranges: readonly IdRange[]): readonly IdRange[] =>
    ranges.map(({ containerID, hostID, size }) => ({ containerID: hostID, hostID: containerID, size }));
  return { uid: swap(ids.uid), gid: swap(ids.gid) };
}

/** The host's id of a container's; undefined if the container has no such. */
export function mapId(id: number, ranges: readonly IdRange[]): number | undefined {
  const range = ranges.find(({ containerID, size }) => id >= containerID && id < containerID + size);
  return range === undefined ? undefined : range.hostID + id - range.containerID;
}

/** Changes by path from what `keel diff` prints, sorted: `+./name` begins a directory, `-A`, `-C` or `-` ends it. */
export function parseChanges(output: string): readonly Change[] {
  const changes: Change[] = [];
  const stack: string[] = [];
  for (const item of output.split("\0")) {
    const kind = item.charAt(0);
    const name = item.slice(3);
    const path = `/${[...stack, name].join("/")}`;
    if (kind === "+") stack.push(name);
    else if (kind === "-") {
      const dir = `/${stack.join("/")}`;
      stack.pop();
      if (item.length > 1) changes.push({ kind: item.charAt(1) as Change["kind"], path: dir });
    } else if (kind !== "") changes.push({ kind: kind as Change["kind"], path });
  }
  return changes.sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
}

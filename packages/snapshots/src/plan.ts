import type { SnapshotMount } from "./types.ts";

/** The read-only mount that shows `layers` (absolute paths, top first, at least one), itself no layer of another mount. */
export function planView(layers: readonly string[]): SnapshotMount {
  const [only = "", ...others] = layers;
  if (others.length === 0) return { type: "bind", source: only, options: ["bind", "ro"] };
  return { type: "overlay", source: "overlay", options: ["ro", `lowerdir=${layers.join(":")}`] };
}

/**
 * The mount that shows `lowers` (absolute paths, top first) with `upper` above, writable; `work` is its sibling.
 * Without lowers it is a bind mount, since overlayfs needs at least one. The options may be longer than a page: the
 * mounter hands them over one by one (fsconfig, `lowerdir+`).
 */
export function planMount(upper: string, work: string, lowers: readonly string[]): SnapshotMount {
  if (lowers.length === 0) return { type: "bind", source: upper, options: ["rbind", "rw"] };
  const options = [`lowerdir=${lowers.join(":")}`, `upperdir=${upper}`, `workdir=${work}`];
  return { type: "overlay", source: "overlay", options };
}

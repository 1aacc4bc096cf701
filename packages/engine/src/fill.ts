import { chownSync, mkdirSync } from "node:fs";
import { BerthError } from "@berth/base";
import { type ContainerMount, type ContainerRow, usernsOf } from "@berth/containers";
import { applyHostSteps } from "@berth/linux";
import { type IdMap, mapId } from "@berth/snapshots";
import type { ContainerPaths, Context } from "./context.ts";

/** What mount_setattr(2) says of a file system, or a kernel, without id-mapped mounts. */
const NOT_MAPPABLE = ["EINVAL", "EPERM", "ENOSYS", "EOPNOTSUPP"];

/**
 * Fills new volumes with what the image has in their places.
 *
 * A volume holds ids as containers see them, whatever namespace they are in: for a container in a user namespace its mount is
 * id-mapped. Where the file system cannot be (ADR 21), a new volume holds the host's ids of its first such container.
 *
 * @returns all mounts of the container, as the runtime shall make them
 */
export async function fillVolumes(
  ctx: Context,
  row: ContainerRow,
  paths: ContainerPaths,
): Promise<readonly ContainerMount[]> {
  const mounts: ContainerMount[] = [];
  for (const mount of row.mounts) mounts.push(mount.kind === "volume" ? await fill(ctx, row, paths, mount) : mount);
  return mounts;
}

// biome-ignore format: four parameters on one line read better
async function fill(ctx: Context, row: ContainerRow, paths: ContainerPaths, mount: ContainerMount): Promise<ContainerMount> {
  const { volumes } = ctx;
  const { name, target, source, copyUp } = mount;
  const ids = usernsOf(row.spec);
  const isNew = volumes.isNew(name);
  const isMapped =
    ids !== undefined && (isNew || !volumes.get(name).hasHostIds) && (await canMap(ctx, source, ids, paths.aside));
  volumes.noteHostIds(name, ids !== undefined && !isMapped);
  if (isMapped) {
    if (isNew && copyUp) await populateUnmapped(ctx, row, paths.aside, mount);
    return { ...mount, options: [...mount.options, "idmap"] };
  }
  if (copyUp) await volumes.populate(name, paths.rootfs, target);
  if (isNew && volumes.isNew(name)) giveToRoot(row, source);
  return mount;
}

/** Whether a directory can be shown with other owners; found out by doing it. */
async function canMap(ctx: Context, source: string, ids: IdMap, target: string): Promise<boolean> {
  mkdirSync(target, { recursive: true, mode: 0o700 });
  const idmap = { ...ids, layers: "all" } as const;
  try {
    await applyHostSteps(ctx.config.keelPath, [
      { op: "mount", type: "bind", source, target, options: ["bind", "ro"], idmap },
      { op: "umount", target },
    ]);
    return true;
  } catch (error) {
    const { step, errno } = error instanceof BerthError ? (error.details ?? {}) : {};
    if (String(step).startsWith("idmap ") && NOT_MAPPABLE.includes(String(errno))) return false;
    throw error;
  }
}

/** As `Volumes.populate`, from the image's own files: the container's root shows them with the owners of its namespace. */
async function populateUnmapped(ctx: Context, row: ContainerRow, aside: string, mount: ContainerMount): Promise<void> {
  const { keelPath } = ctx.config;
  await applyHostSteps(keelPath, [{ op: "mount", ...ctx.snapshots.viewBelow(row.id), target: aside }]);
  try {
    await ctx.volumes.populate(mount.name, aside, mount.target);
  } finally {
    await applyHostSteps(keelPath, [{ op: "umount", target: aside }]);
  }
}

/** What the container's root is to write to, in whatever user namespace it is. */
export function giveToRoot({ spec }: ContainerRow, path: string): void {
  const ids = usernsOf(spec);
  if (ids !== undefined) chownSync(path, mapId(0, ids.uid) ?? 0, mapId(0, ids.gid) ?? 0);
}

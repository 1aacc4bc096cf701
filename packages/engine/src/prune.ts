import { listContainers } from "@berth/containers";
import { treeBytes } from "@berth/snapshots";
import type { Context } from "./context.ts";
import { settleImageMounts } from "./image-mounts.ts";
import { list } from "./list.ts";
import { settleAll } from "./settle.ts";
import { remove } from "./stop.ts";
import type { Container, Pruned, PruneImageOptions } from "./types.ts";

/** Removes containers that are not running. */
export async function pruneContainers(ctx: Context, fits: (container: Container) => boolean): Promise<Pruned> {
  const idle = (await list(ctx, { all: true })).filter(({ status }) => status === "created" || status === "exited");
  const removed: string[] = [];
  let reclaimedBytes = 0;
  for (const container of idle.filter(fits)) {
    const size = await ctx.snapshots.usage(container.id);
    await remove(ctx, container.id, {});
    removed.push(container.id);
    reclaimedBytes += size;
  }
  return { removed, reclaimedBytes };
}

/** Removes images without a name, or all that no container uses. */
export async function pruneImages(
  ctx: Context,
  options: PruneImageOptions,
): Promise<Pruned & { readonly untagged: readonly string[] }> {
  await settleAll(ctx);
  await settleImageMounts(ctx);
  const { fits } = options;
  const { untagged, deleted, reclaimedBytes } = await ctx.images.prune(
    (image) => (options.all || image.names.length === 0) && fits(image),
  );
  return { untagged, removed: deleted, reclaimedBytes };
}

/** Removes the volumes without a name of their own that no container mounts. */
export async function pruneVolumes(ctx: Context): Promise<Pruned> {
  const { db } = ctx.state;
  const usersOf = (name: string): readonly string[] =>
    listContainers(db)
      .filter((row) => row.mounts.some((mount) => mount.name === name))
      .map((row) => row.name);
  const removed: string[] = [];
  let reclaimedBytes = 0;
  for (const { name, path, containerId } of ctx.volumes.list()) {
    if (containerId === undefined || usersOf(name).length > 0) continue;
    const size = await treeBytes(path);
    await ctx.volumes.remove(name, usersOf);
    removed.push(name);
    reclaimedBytes += size;
  }
  return { removed, reclaimedBytes };
}

import { existsSync, mkdirSync, readdirSync, rmdirSync } from "node:fs";
import type { Image } from "@berth/images";
import { applyHostSteps, isMountPoint } from "@berth/linux";
import type { Digest } from "@berth/oci";
import type { Snapshots } from "@berth/snapshots";
import type { Context } from "./context.ts";
import { notMounted } from "./errors.ts";
import type { MountedImage } from "./types.ts";

/** Keys of the snapshots that show images; the rest of the key is the image's id. */
const PREFIX = "image:";

/**
 * Engine.mountImage. The snapshot's row comes first and goes last: it says that the mount may be there, keeps the layers,
 * and makes the image one in use.
 */
export async function mountImage(ctx: Context, ref: string): Promise<MountedImage> {
  await settleImageMounts(ctx);
  const { id } = ctx.images.get(ref);
  using _lease = await ctx.state.lease(leaseOf(id));
  const image = ctx.images.get(id);
  const target = targetOf(ctx, id);
  if (isMountPoint(target)) return { image, path: target };
  const key = PREFIX + id;
  try {
    await ctx.snapshots.prepare(key, image.chainId, { readOnly: true });
    mkdirSync(target, { recursive: true, mode: 0o700 });
    await applyHostSteps(ctx.config.keelPath, [{ op: "mount", ...ctx.snapshots.mount(key), target }]);
    ctx.images.get(id); // Removed before there was a snapshot?
  } catch (error) {
    await undo(ctx, id);
    throw error;
  }
  return { image, path: target };
}

/** Engine.unmountImage. */
export async function unmountImage(ctx: Context, ref: string): Promise<Image> {
  await settleImageMounts(ctx);
  const image = ctx.images.get(ref);
  using _lease = await ctx.state.lease(leaseOf(image.id));
  if (!mountedImages(ctx.snapshots).has(image.id)) throw notMounted(ref);
  await undo(ctx, image.id);
  return image;
}

/** Engine.mountedImages. */
export async function listImageMounts(ctx: Context): Promise<readonly MountedImage[]> {
  await settleImageMounts(ctx);
  return [...mountedImages(ctx.snapshots)].flatMap((id) => {
    const image = ctx.images.find(id);
    return image === undefined ? [] : [{ image, path: targetOf(ctx, id) }];
  });
}

/** Ids of the images that are mounted, or about to be. */
export function mountedImages(snapshots: Snapshots): ReadonlySet<Digest> {
  return new Set(snapshots.listKeys(PREFIX).map((key) => key.slice(PREFIX.length) as Digest));
}

/** Takes away what a killed command left half done, and what a reboot unmounted. Cheap when no image was ever mounted. */
export async function settleImageMounts(ctx: Context): Promise<void> {
  // Directories first: a row that comes later belongs to a directory that is not on this list.
  const dirs = existsSync(dirOf(ctx)) ? readdirSync(dirOf(ctx)) : [];
  const ids = mountedImages(ctx.snapshots);
  for (const id of new Set([...ids, ...dirs.map((name) => name.replace("-", ":") as Digest)])) {
    if (ids.has(id) && isMountPoint(targetOf(ctx, id))) continue;
    using _lease = await ctx.state.lease(leaseOf(id));
    if (mountedImages(ctx.snapshots).has(id) && isMountPoint(targetOf(ctx, id))) continue;
    await undo(ctx, id);
  }
}

/** Idempotent; under the lease. */
async function undo(ctx: Context, id: Digest): Promise<void> {
  const target = targetOf(ctx, id);
  if (existsSync(target)) {
    await applyHostSteps(ctx.config.keelPath, [{ op: "umount", target }]);
    rmdirSync(target);
  }
  await ctx.snapshots.remove(PREFIX + id);
}

function leaseOf(id: Digest): string {
  return `image-mount:${id}`;
}

function dirOf(ctx: Context): string {
  return `${ctx.config.runRoot}/images`;
}

function targetOf(ctx: Context, id: Digest): string {
  return `${dirOf(ctx)}/${id.replace(":", "-")}`;
}

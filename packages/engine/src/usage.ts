import { listContainers } from "@berth/containers";
import type { ImageSummary } from "@berth/images";
import type { Digest } from "@berth/oci";
import { treeBytes } from "@berth/snapshots";
import type { Context } from "./context.ts";
import { settleAll } from "./settle.ts";
import type { DiskUsage, HistoryEntry } from "./types.ts";
import { viewOf } from "./view.ts";

/** Newest first: what the configuration tells of each step, with what its layer has on the disk. */
export async function history(ctx: Context, ref: string): Promise<readonly HistoryEntry[]> {
  const image = ctx.images.get(ref);
  const { config } = image;
  const chain = ctx.images.chainIds(image.id);
  const steps: NonNullable<typeof config.history> = config.history ?? chain.map(() => ({}));
  const entries: HistoryEntry[] = [];
  let layer = 0;
  for (const step of steps) {
    const chainId = step.empty_layer === true ? undefined : chain[layer++];
    const { created = "", created_by = "", comment = "" } = step;
    const sizeBytes = chainId === undefined ? 0 : await ctx.snapshots.measure(chainId);
    entries.push({ created, createdBy: created_by, comment, sizeBytes });
  }
  return entries.reverse();
}

/** What the data root holds, by kind; layers and blobs that several images share count once in the sum. */
export async function diskUsage(ctx: Context): Promise<DiskUsage> {
  await settleAll(ctx);
  const containers = listContainers(ctx.state.db).map((row) => viewOf(ctx, row));
  const measured: DiskUsage["containers"][number][] = [];
  for (const container of containers) {
    measured.push({ container, sizeBytes: await ctx.snapshots.usage(container.id) });
  }
  const volumes: DiskUsage["volumes"][number][] = [];
  for (const { name, path } of ctx.volumes.list()) {
    const links = containers.filter(({ mounts }) => mounts.some((mount) => mount.name === name)).length;
    volumes.push({ name, links, sizeBytes: await treeBytes(path) });
  }
  return { ...(await imageUsage(ctx)), containers: measured, volumes };
}

async function imageUsage(ctx: Context): Promise<Pick<DiskUsage, "images" | "imageBytes" | "reclaimableImageBytes">> {
  const sizes = new Map<string, number>(ctx.content.list().map((blob) => [blob.digest, blob.sizeBytes]));
  const users = new Map<string, number>();
  const parts = ctx.images.list().map((image) => ({ image, names: partsOf(ctx, image) }));
  for (const { names } of parts) {
    for (const name of names) users.set(name, (users.get(name) ?? 0) + 1);
    for (const chainId of names) if (!sizes.has(chainId)) sizes.set(chainId, await measureLayer(ctx, chainId));
  }
  const sum = (names: Iterable<string>): number =>
    [...names].reduce((total, name) => total + (sizes.get(name) ?? 0), 0);
  const rows = listContainers(ctx.state.db);
  const images = parts.map(({ image, names }) => {
    const uniqueBytes = sum(names.filter((name) => users.get(name) === 1));
    const sizeBytes = sum(names);
    const count = rows.filter((row) => row.imageId === image.id).length;
    return { image, sizeBytes, sharedBytes: sizeBytes - uniqueBytes, uniqueBytes, containers: count };
  });
  const used = new Set(parts.flatMap(({ names }, i) => (images[i]?.containers ? names : [])));
  const all = [...users.keys()];
  return { images, imageBytes: sum(all), reclaimableImageBytes: sum(all.filter((name) => !used.has(name))) };
}

/** Names of what an image has on the disk: blobs, and unpacked layers by `layer:` and their chain ids. */
function partsOf(ctx: Context, image: ImageSummary): readonly string[] {
  const layers = ctx.images.chainIds(image.id).map((chainId) => `layer:${chainId}`);
  return [...new Set([...ctx.images.blobs(image.id), ...layers])];
}

async function measureLayer(ctx: Context, name: string): Promise<number> {
  return name.startsWith("layer:") ? await ctx.snapshots.measure(name.slice("layer:".length) as Digest) : 0;
}

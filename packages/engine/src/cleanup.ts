import { existsSync, rmSync } from "node:fs";
import { type ContainerRow, listContainers, removeContainer, setPhase } from "@berth/containers";
import { applyHostSteps, isMountPoint } from "@berth/linux";
import type { HostStep } from "@berth/protocol";
import { runtimeDelete } from "@berth/tasks";
import { type ContainerPaths, type Context, pathsOf } from "./context.ts";

/**
 * Undoes whatever a start has made outside the data root, however far it or its undoing had got. Idempotent. Call it
 * under the container's lease, with its monitor gone.
 */
export async function cleanUp(ctx: Context, row: ContainerRow): Promise<void> {
  const paths = pathsOf(ctx.config, row.id);
  if (existsSync(paths.runtimeState)) await runtimeDelete(ctx.runtime, row.id);
  if (row.spec.network === "bridge") await ctx.networks.detach(row.id);
  const steps = leftOvers(paths);
  if (steps.length > 0) await applyHostSteps(ctx.config.keelPath, steps);
  rmSync(paths.run, { recursive: true, force: true });
}

/** What a monitor that was killed could not undo. */
function leftOvers(paths: ContainerPaths): HostStep[] {
  const steps: HostStep[] = [];
  for (const target of [paths.rootfs, paths.aside])
    if (existsSync(target) && isMountPoint(target)) steps.push({ op: "umount", target });
  for (const path of [paths.netns, paths.userns]) if (existsSync(path)) steps.push({ op: "netns-remove", path });
  return steps;
}

/**
 * Removes a container with all it has; it must not run. The row goes last, so that an interrupted removal is finished
 * by the next command. Idempotent; under the container's lease.
 */
export async function removeWhole(ctx: Context, row: ContainerRow, volumes: boolean): Promise<void> {
  const { db } = ctx.state;
  ctx.state.transaction(() => setPhase(db, row.id, "removing", ctx.state.owner));
  await cleanUp(ctx, row);
  await ctx.snapshots.remove(row.id);
  if (volumes) await removeVolumes(ctx, row);
  rmSync(pathsOf(ctx.config, row.id).data, { recursive: true, force: true });
  ctx.state.transaction(() => removeContainer(db, row.id));
}

/** The anonymous volumes that were made for this container, unless another one mounts them by name. */
async function removeVolumes(ctx: Context, row: ContainerRow): Promise<void> {
  for (const { name } of ctx.volumes.listOf(row.id)) {
    const others = listContainers(ctx.state.db).filter((other) => other.id !== row.id);
    if (others.some((other) => other.mounts.some((mount) => mount.name === name))) continue;
    await ctx.volumes.remove(name, () => []);
  }
}

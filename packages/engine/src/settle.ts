import { type ContainerRow, findContainer, listUnsettled, setExited, setPhase, setRunning } from "@berth/containers";
import type { ExitRecord } from "@berth/protocol";
import { connectMonitor, isGone, type MonitorClient } from "@berth/tasks";
import { cleanUp, removeWhole } from "./cleanup.ts";
import { type Context, leaseOf, pathsOf } from "./context.ts";
import { findExit, unseenExit } from "./exit.ts";

/**
 * Brings what is written of a container to what is true: finishes or undoes what a killed command left half done, and
 * notes the exit of one that nobody waited for.
 *
 * @returns the row as it is now; undefined when the container is gone
 */
export async function settle(ctx: Context, row: ContainerRow): Promise<ContainerRow | undefined> {
  if (isSettled(ctx, row)) return row;
  using _lease = await ctx.state.lease(leaseOf(row.id));
  const now = findContainer(ctx.state.db, row.id);
  if (now === undefined || isSettled(ctx, now)) return now;
  await repair(ctx, now);
  return findContainer(ctx.state.db, row.id);
}

/** Settles all containers; cheap when there is nothing to do. */
export async function settleAll(ctx: Context): Promise<void> {
  for (const row of listUnsettled(ctx.state.db)) await settle(ctx, row);
}

/** Nothing to repair, or a living process is at it. */
function isSettled(ctx: Context, row: ContainerRow): boolean {
  switch (row.phase) {
    case "created":
      return row.owner === undefined || ctx.state.ownerAlive(row.owner);
    case "exited":
      return true;
    case "running":
      if (row.own !== undefined && row.own !== ctx.state.owner && ctx.state.ownerAlive(row.own)) return true;
      return findExit(pathsOf(ctx.config, row.id).exit) === undefined && lives(ctx, row);
    default:
      return row.owner !== undefined && ctx.state.ownerAlive(row.owner);
  }
}

function lives(ctx: Context, row: ContainerRow): boolean {
  return row.process !== undefined && ctx.state.ownerAlive(row.process);
}

/** Under the container's lease; nobody else is at it. */
async function repair(ctx: Context, row: ContainerRow): Promise<void> {
  switch (row.phase) {
    case "creating":
    case "created":
      // nobody has heard of it: its anonymous volumes hold nothing of anybody
      return removeWhole(ctx, row, true);
    case "removing":
      return removeWhole(ctx, row, row.spec.autoRemove);
    case "starting":
      return repairStart(ctx, row);
    default:
      return repairRun(ctx, row);
  }
}

/** Its starter was killed: the container may run, have ended, or wait in its monitor for a word that nobody will say. */
async function repairStart(ctx: Context, row: ContainerRow): Promise<void> {
  const client = await findMonitor(ctx, row);
  const state = await client?.request({ op: "state" }).catch(() => undefined);
  if (state?.phase === "running" && client !== undefined) {
    const startedAt = state.startedAt ?? new Date().toISOString();
    const process = ctx.state.ownerOf(state.pid);
    ctx.state.transaction(() => setRunning(ctx.state.db, row.id, startedAt, { process, own: undefined }));
    client.close();
    return;
  }
  if (client !== undefined) {
    await client.request({ op: "abort" }).catch(() => {}); // it has exited then
    await client.closed;
  }
  const exit = findExit(pathsOf(ctx.config, row.id).exit);
  if (exit !== undefined) return ended(ctx, row, exit);
  await cleanUp(ctx, row);
  if (row.spec.autoRemove) return removeWhole(ctx, row, true);
  const phase = row.startedAt === "" ? "created" : "exited";
  ctx.state.transaction(() => setPhase(ctx.state.db, row.id, phase));
}

async function repairRun(ctx: Context, row: ContainerRow): Promise<void> {
  const client = await findMonitor(ctx, row);
  // It may still be at its end: draining output, undoing mounts.
  if (client !== undefined) {
    if ((await client.exit) === undefined && lives(ctx, row)) return;
    await client.closed;
  }
  await ended(ctx, row, findExit(pathsOf(ctx.config, row.id).exit) ?? unseenExit(row.id));
}

/**
 * Notes the exit, undoes the start, and removes a container that wanted to go. Under the container's lease, with its
 * monitor gone.
 */
export async function ended(ctx: Context, row: ContainerRow, exit: ExitRecord): Promise<void> {
  if (row.spec.autoRemove) return removeWhole(ctx, row, true);
  await cleanUp(ctx, row);
  ctx.state.transaction(() => setExited(ctx.state.db, row.id, exit));
}

/** A connection to the container's monitor; undefined when there is none. */
export async function findMonitor(ctx: Context, row: ContainerRow): Promise<MonitorClient | undefined> {
  try {
    return await connectMonitor(row.id, pathsOf(ctx.config, row.id).socket);
  } catch (error) {
    if (isGone(error)) return undefined;
    throw error;
  }
}

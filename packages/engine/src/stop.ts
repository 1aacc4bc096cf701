import { setTimeout as sleep } from "node:timers/promises";
import { type ContainerRow, findContainer, parseSignal, planStopSignal } from "@berth/containers";
import type { MonitorClient } from "@berth/tasks";
import { removeWhole } from "./cleanup.ts";
import { type Context, leaseOf } from "./context.ts";
import { isBusy, isRunning, noKill, notRunning } from "./errors.ts";
import { getRow } from "./lookup.ts";
import { findMonitor, settle } from "./settle.ts";

const SIGKILL = 9;
const DEFAULT_TIMEOUT_S = 10;
/** A killed process that does not go within this hangs in the kernel. */
const KILL_TIMEOUT_MS = 10_000;

/** Engine.finish: waits for the monitor's end, then notes what the container's end left to do. */
export async function finish(ctx: Context, ref: string): Promise<void> {
  const known = findContainer(ctx.state.db, ref) ?? getRow(ctx, ref);
  const client = ctx.owned.get(known.id);
  await client?.closed;
  ctx.owned.delete(known.id);
  await settle(ctx, known);
}

export async function wait(ctx: Context, ref: string, signal?: AbortSignal): Promise<number> {
  const row = await settle(ctx, getRow(ctx, ref));
  if (row?.phase !== "running") return row?.exitCode ?? 0;
  const client = await findMonitor(ctx, row);
  const onAbort = (): void => client?.close();
  signal?.addEventListener("abort", onAbort, { once: true });
  try {
    const exit = await client?.exit;
    signal?.throwIfAborted();
    if (exit !== undefined) return exit.exitCode;
  } finally {
    signal?.removeEventListener("abort", onAbort);
    client?.close();
  }
  return (await settle(ctx, row))?.exitCode ?? 0;
}

export async function kill(ctx: Context, ref: string, signal = "KILL"): Promise<void> {
  const number = parseSignal(signal);
  const row = await settle(ctx, getRow(ctx, ref));
  const client = row?.phase === "running" ? await findMonitor(ctx, row) : undefined;
  if (row === undefined || client === undefined) throw notRunning(row?.name ?? ref, "kill");
  try {
    await client.request({ op: "signal", signal: number });
  } finally {
    client.close();
  }
}

export interface StopOptions {
  readonly timeout?: number | undefined;
  readonly stopSignal?: string | undefined;
}

/** Engine.stop; a container that does not run is stopped already. */
export async function stop(ctx: Context, ref: string, options: StopOptions): Promise<void> {
  const row = await settle(ctx, getRow(ctx, ref));
  const client = row?.phase === "running" ? await findMonitor(ctx, row) : undefined;
  if (row === undefined || client === undefined) return;
  const signal =
    options.stopSignal === undefined
      ? planStopSignal(row.spec, ctx.images.get(row.imageId).config)
      : parseSignal(options.stopSignal);
  const seconds = options.timeout ?? row.spec.stopTimeout ?? DEFAULT_TIMEOUT_S;
  try {
    await send(client, signal);
    if (seconds < 0) await client.exit;
    else if (!(await within(client.exit, seconds * 1000))) await killHard(client, row);
    await client.closed;
  } finally {
    client.close();
  }
  await settle(ctx, row);
}

/** Engine.remove. */
export async function remove(
  ctx: Context,
  ref: string,
  options: { readonly force?: boolean; readonly volumes?: boolean },
): Promise<void> {
  const row = await settle(ctx, getRow(ctx, ref));
  if (row === undefined) return;
  if (row.phase === "running") {
    if (!options.force) throw isRunning(row.name);
    const client = await findMonitor(ctx, row);
    if (client !== undefined) {
      await killHard(client, row);
      await client.closed;
    }
  }
  using _lease = await ctx.state.lease(leaseOf(row.id));
  const now = findContainer(ctx.state.db, row.id);
  if (now === undefined) return; // its own clean-up was first
  if (now.phase === "starting") throw isBusy(row.name, "remove");
  await removeWhole(ctx, now, options.volumes === true || now.spec.autoRemove);
}

async function killHard(client: MonitorClient, row: ContainerRow): Promise<void> {
  await send(client, SIGKILL);
  if (!(await within(client.exit, KILL_TIMEOUT_MS))) throw noKill(row.name);
}

/** A refusal says that the container has exited, which its exit event tells too. */
async function send(client: MonitorClient, signal: number): Promise<void> {
  await client.request({ op: "signal", signal }).catch(() => {});
}

async function within(promise: Promise<unknown>, ms: number): Promise<boolean> {
  const timer = new AbortController();
  try {
    const late = sleep(ms, false, { signal: timer.signal }).catch(() => false);
    return await Promise.race([promise.then(() => true), late]);
  } finally {
    timer.abort();
  }
}

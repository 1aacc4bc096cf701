import { listContainers } from "@berth/containers";
import { type Context, pathsOf } from "./context.ts";
import { noSuchContainer } from "./errors.ts";
import { readLog } from "./logs.ts";
import { getRow } from "./lookup.ts";
import { settle, settleAll } from "./settle.ts";
import type { Container, ListOptions, LogEntry, LogOptions } from "./types.ts";
import { viewOf } from "./view.ts";

/** Newest first. */
export async function list(ctx: Context, options: ListOptions): Promise<readonly Container[]> {
  await settleAll(ctx);
  const all = listContainers(ctx.state.db).map((row) => viewOf(ctx, row));
  return options.all ? all : all.filter((container) => container.status === "running" || container.status === "paused");
}

export async function inspect(ctx: Context, ref: string): Promise<Container> {
  const row = await settle(ctx, getRow(ctx, ref));
  if (row === undefined) throw noSuchContainer(ref);
  return viewOf(ctx, row);
}

export async function* logs(ctx: Context, ref: string, options: LogOptions): AsyncGenerator<LogEntry> {
  const row = getRow(ctx, ref);
  const isOver = async (): Promise<boolean> => (await settle(ctx, row))?.phase !== "running";
  yield* readLog(pathsOf(ctx.config, row.id).log, options, isOver);
}

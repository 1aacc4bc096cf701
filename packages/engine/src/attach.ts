import type { ContainerRow } from "@berth/containers";
import type { ExitRecord } from "@berth/protocol";
import type { MonitorClient, MonitorListener } from "@berth/tasks";
import { type Context, pathsOf } from "./context.ts";
import { noRecord, notRunning } from "./errors.ts";
import { findExit } from "./exit.ts";
import { getRow } from "./lookup.ts";
import { findMonitor, settle } from "./settle.ts";
import type { AttachIo, Attachment } from "./types.ts";

/** Joins the stdio of a running container. */
export async function attach(ctx: Context, ref: string, io: AttachIo): Promise<Attachment> {
  const row = await settle(ctx, getRow(ctx, ref));
  const client = row?.phase === "running" ? await findMonitor(ctx, row) : undefined;
  if (row === undefined || client === undefined) throw notRunning(row?.name ?? ref, "attach to");
  client.setListener(listenerOf(io));
  await client.request({ op: "attach", stdin: io.stdin, stdout: true, stderr: !row.spec.terminal });
  const attachment = attachmentOf(ctx, row, client);
  if (io.size !== undefined) attachment.resize(io.size.rows, io.size.columns);
  return attachment;
}

export function listenerOf(io: AttachIo): MonitorListener {
  return { onOutput: (stream, data) => (stream === "stdout" ? io.onStdout?.(data) : io.onStderr?.(data)) };
}

export function attachmentOf(ctx: Context, row: ContainerRow, client: MonitorClient): Attachment {
  // A refused signal or size says that the container is over: `exit` tells that.
  const ignore = (): void => {};
  const exit = exitOf(ctx, row, client);
  exit.catch(ignore);
  return {
    write: (data) => client.writeInput(data),
    endInput: () => client.endInput(),
    resize: (rows, cols) => {
      if (row.spec.terminal) client.request({ op: "resize", rows, cols }).catch(ignore);
    },
    signal: (signal) => {
      client.request({ op: "signal", signal }).catch(ignore);
    },
    exit,
    close: () => client.close(),
  };
}

async function exitOf(ctx: Context, row: ContainerRow, client: MonitorClient): Promise<ExitRecord> {
  const exit = (await client.exit) ?? findExit(pathsOf(ctx.config, row.id).exit);
  if (exit === undefined) throw noRecord(row.name);
  return exit;
}

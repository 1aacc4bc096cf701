import { mkdirSync, rmSync } from "node:fs";
import { BerthError } from "@berth/base";
import { type ContainerRow, findContainer, setPhase, setRunning, setStartFailed, usernsOf } from "@berth/containers";
import type { MonitorConfig, MonitorRequest } from "@berth/protocol";
import { type MonitorClient, startMonitor } from "@berth/tasks";
import { attachmentOf, listenerOf } from "./attach.ts";
import { writeBundle } from "./bundle.ts";
import { cleanUp, removeWhole } from "./cleanup.ts";
import { type ContainerPaths, type Context, leaseOf, pathsOf } from "./context.ts";
import { isBusy, longRunRoot, noSuchContainer, startExitCode, startFailed } from "./errors.ts";
import { getRow } from "./lookup.ts";
import { settle } from "./settle.ts";
import type { AttachIo, Attachment } from "./types.ts";

const SUN_PATH_MAX = 107;

export interface StartOptions {
  readonly io?: AttachIo | undefined;
  readonly own?: boolean | undefined;
}

/** Engine.start. */
export async function start(ctx: Context, ref: string, options: StartOptions): Promise<Attachment | undefined> {
  const known = getRow(ctx, ref);
  if ((await settle(ctx, known)) === undefined) throw noSuchContainer(ref);
  const paths = pathsOf(ctx.config, known.id);
  if (Buffer.byteLength(paths.socket) > SUN_PATH_MAX) throw longRunRoot(ctx.config.runRoot);
  using _lease = await ctx.state.lease(leaseOf(known.id));
  const row = findContainer(ctx.state.db, known.id);
  if (row === undefined) throw noSuchContainer(ref);
  if (row.phase === "running") return undefined;
  if (row.phase !== "created" && row.phase !== "exited") throw isBusy(row.name, "start");
  ctx.state.transaction(() => setPhase(ctx.state.db, row.id, "starting", ctx.state.owner));
  try {
    return await startPrepared(ctx, row, paths, options);
  } catch (error) {
    throw await undoStart(ctx, row, error);
  }
}

async function startPrepared(
  ctx: Context,
  row: ContainerRow,
  paths: ContainerPaths,
  options: StartOptions,
): Promise<Attachment | undefined> {
  rmSync(paths.exit, { force: true });
  mkdirSync(paths.rootfs, { recursive: true, mode: 0o700 });
  const image = ctx.images.get(row.imageId);
  const config = monitorConfig(ctx, row, paths);
  const client = await startMonitor(ctx.config.keelPath, paths.monitorConfig, config);
  try {
    await client.event("ready");
    await writeBundle(ctx, row, image, paths);
    await launch(client, row, options);
    const { startedAt } = await client.event("started");
    const state = await client.request({ op: "state" }).catch(() => undefined); // over already
    const process = state === undefined ? undefined : ctx.state.ownerOf(state.pid);
    const own = options.own ? ctx.state.owner : undefined;
    ctx.state.transaction(() => setRunning(ctx.state.db, row.id, startedAt, { process, own }));
  } catch (error) {
    await giveUp(client);
    throw error;
  }
  if (options.own) ctx.owned.set(row.id, client);
  if (options.io === undefined) {
    if (!options.own) client.close();
    return undefined;
  }
  return attachmentOf(ctx, row, client);
}

/** All words in one write: the monitor does them one after the other while we read its answers. */
async function launch(client: MonitorClient, row: ContainerRow, options: StartOptions): Promise<void> {
  const requests: MonitorRequest[] = [];
  if (options.own) requests.push({ op: "own" });
  const { io } = options;
  if (io !== undefined) {
    client.setListener(listenerOf(io));
    requests.push({ op: "attach", stdin: io.stdin, stdout: true, stderr: !row.spec.terminal });
    if (io.size !== undefined && row.spec.terminal) requests.push({ op: "resize", ...sizeOf(io.size) });
  }
  requests.push({ op: "create" }, { op: "start" });
  const answers = await Promise.allSettled(requests.map((request) => client.request(request)));
  for (const answer of answers) if (answer.status === "rejected") throw answer.reason;
}

function sizeOf(size: NonNullable<AttachIo["size"]>): { readonly rows: number; readonly cols: number } {
  return { rows: size.rows, cols: size.columns };
}

function monitorConfig(ctx: Context, row: ContainerRow, paths: ContainerPaths): MonitorConfig {
  const { spec } = row;
  const mount = ctx.snapshots.mount(row.id);
  const ids = usernsOf(spec);
  const cleansUp = spec.network === "bridge" || spec.autoRemove;
  return {
    id: row.id,
    bundle: paths.bundle,
    runtime: ctx.runtime,
    terminal: spec.terminal,
    stdin: spec.stdin,
    stdinOnce: spec.stdinOnce,
    logPath: paths.log,
    exitPath: paths.exit,
    socketPath: paths.socket,
    pidFile: paths.pidFile,
    mounts: [{ ...mount, target: paths.rootfs }],
    netnsPath: spec.network === "bridge" ? paths.netns : "",
    userns:
      ids === undefined || spec.network !== "bridge" ? undefined : { path: paths.userns, uid: ids.uid, gid: ids.gid },
    autoCreate: false,
    exitCommand: cleansUp ? [...ctx.self, "internal", "cleanup", row.id] : [],
  };
}

/** The monitor undoes what it did and ends; it may have done so by itself. */
async function giveUp(client: MonitorClient): Promise<void> {
  await client.request({ op: "abort" }).catch(() => {}); // it failed or exited by itself
  await client.closed;
}

/** Leaves the container as it was before, with the reason noted, or nothing of one that was to go anyway. */
async function undoStart(ctx: Context, row: ContainerRow, error: unknown): Promise<unknown> {
  await cleanUp(ctx, row);
  const failure = error instanceof BerthError ? startFailed(row.name, error) : error;
  if (row.spec.autoRemove) {
    await removeWhole(ctx, row, true);
    return failure;
  }
  const message = error instanceof Error ? error.message : String(error);
  ctx.state.transaction(() => setStartFailed(ctx.state.db, row.id, message, startExitCode(message)));
  return failure;
}

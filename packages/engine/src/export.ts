import { type ChildProcess, type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, readdirSync, rmdirSync } from "node:fs";
import { text } from "node:stream/consumers";
import { writeFileWhole } from "@berth/archive";
import { BerthError, errnoOf, newId } from "@berth/base";
import { type ContainerRow, findContainer } from "@berth/containers";
import { applyHostSteps } from "@berth/linux";
import { type Context, leaseOf, pathsOf } from "./context.ts";
import { exportFailed, isBusy, noSuchContainer, notRunning } from "./errors.ts";
import { getRow } from "./lookup.ts";
import { settle } from "./settle.ts";
import type { ExportTarget } from "./types.ts";
import { pidOf } from "./view.ts";

/** GNU tar's code when a file changed while it was read, as in a running container. */
const CHANGED = 1;
/** In the order of names; no attributes of security modules or overlayfs; without the times of reading. */
const TAR = [
  "--sort=name",
  "--format=posix",
  "--pax-option=delete=atime,delete=ctime",
  "--numeric-owner",
  "--one-file-system",
  "--xattrs",
  "--xattrs-include=user.*",
  "--xattrs-include=security.capability",
];

/**
 * Writes a container's file system as a tar, without what is mounted in it (volumes, /proc and so on). GNU tar does it:
 * it walks by descriptors and follows no link, so that a container cannot lead it out while it reads.
 */
export async function exportContainer(
  ctx: Context,
  ref: string,
  target: ExportTarget,
  signal: AbortSignal | undefined,
): Promise<void> {
  const row = await settle(ctx, getRow(ctx, ref));
  if (row === undefined) throw noSuchContainer(ref);
  if (row.phase === "running") return await exportRunning(ctx, row, target, signal);
  // Nobody starts or removes it meanwhile.
  using _lease = await ctx.state.lease(leaseOf(row.id), signal === undefined ? {} : { signal });
  const phase = findContainer(ctx.state.db, row.id)?.phase;
  if (phase !== "created" && phase !== "exited") throw isBusy(row.name, "export");
  const dir = `${ctx.config.runRoot}/x/${newId().slice(0, 16)}`;
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  try {
    await applyHostSteps(ctx.config.keelPath, [{ op: "mount", ...ctx.snapshots.view(row.id), target: dir }]);
    await writeTree({ root: dir, name: row.name }, target, signal);
  } finally {
    await applyHostSteps(ctx.config.keelPath, [{ op: "umount", target: dir }]);
    rmdirSync(dir);
  }
}

/** What tar is to read. */
interface Tree {
  readonly root: string;
  /** The container's. */
  readonly name: string;
  /** User namespace to read it in, so that owners are those that the container sees; its file. */
  readonly userns?: number | undefined;
}

async function exportRunning(
  ctx: Context,
  row: ContainerRow,
  target: ExportTarget,
  signal: AbortSignal | undefined,
): Promise<void> {
  const tree = { root: pathsOf(ctx.config, row.id).rootfs, name: row.name };
  if (row.spec.userns === undefined) return await writeTree(tree, target, signal);
  const userns = openUserns(ctx, row);
  try {
    await writeTree({ ...tree, userns }, target, signal);
  } finally {
    closeSync(userns);
  }
}

function openUserns(ctx: Context, row: ContainerRow): number {
  let fd: number;
  try {
    fd = openSync(`/proc/${pidOf(row)}/ns/user`, "r");
  } catch (error) {
    if (errnoOf(error) === "ENOENT") throw notRunning(row.name, "export");
    throw error;
  }
  // Its number may be another process's by now.
  if (row.process !== undefined && ctx.state.ownerAlive(row.process)) return fd;
  closeSync(fd);
  throw notRunning(row.name, "export");
}

async function writeTree(tree: Tree, target: ExportTarget, signal: AbortSignal | undefined): Promise<void> {
  const bytes = readTree(tree, signal);
  if (target.kind === "file") return await writeFileWhole(target.path, bytes);
  for await (const chunk of bytes) await target.write(chunk);
}

async function* readTree(tree: Tree, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
  const { root, name, userns } = tree;
  // The names at the top are given, so that members are `etc/…`, as docker has them; verbatim: they may look like options.
  const tar = ["tar", ...TAR, "--null", "--verbatim-files-from", "-T", "-", "-cf", "-"];
  const [command = "", ...args] = userns === undefined ? tar : ["nsenter", "--user=/proc/self/fd/3", ...tar];
  const child = spawn(command, args, {
    // Not by tar's -C: the container's root, which it is in the namespace, may not come by the way to it.
    cwd: root,
    stdio: ["pipe", "pipe", "pipe", ...(userns === undefined ? [] : [userns])],
    ...(signal === undefined ? {} : { signal }),
  }) as ChildProcessWithoutNullStreams;
  const ended = endOf(child);
  const said = text(child.stderr);
  child.stdin.on("error", () => {}); // its end tells why
  child.stdin.end(Buffer.concat(readdirSync(root, { encoding: "buffer" }).flatMap((entry) => [entry, Buffer.of(0)])));
  try {
    yield* child.stdout as AsyncIterable<Buffer>;
    const code = await ended;
    if (code !== 0 && code !== CHANGED) throw exportFailed(name, (await said).trim() || `tar ended with ${code}`);
  } finally {
    child.kill("SIGKILL");
  }
}

function endOf(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.on("error", (cause: NodeJS.ErrnoException) => {
      if (cause.code !== "ENOENT") reject(cause);
      else reject(notInstalled(child.spawnfile));
    });
    child.on("close", (code) => resolve(code ?? 128));
  });
}

const notInstalled = (name: string): BerthError =>
  new BerthError("FailedPrecondition", `start ${name}: it is not installed`, {
    hint: `install ${name === "tar" ? "GNU tar" : "package util-linux"}`,
  });

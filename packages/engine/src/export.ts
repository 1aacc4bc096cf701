import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, readdirSync, rmdirSync } from "node:fs";
import { text } from "node:stream/consumers";
import { writeFileWhole } from "@berth/archive";
import { BerthError, newId } from "@berth/base";
import { findContainer } from "@berth/containers";
import { applyHostSteps } from "@berth/linux";
import { type Context, leaseOf, pathsOf } from "./context.ts";
import { exportFailed, inUserns, isBusy, noSuchContainer } from "./errors.ts";
import { getRow } from "./lookup.ts";
import { settle } from "./settle.ts";
import type { ExportTarget } from "./types.ts";

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
  if (row.phase === "running" && row.spec.userns !== undefined) throw inUserns(row.name);
  if (row.phase === "running") return await writeTree(pathsOf(ctx.config, row.id).rootfs, row.name, target, signal);
  // Nobody starts or removes it meanwhile.
  using _lease = await ctx.state.lease(leaseOf(row.id), signal === undefined ? {} : { signal });
  const phase = findContainer(ctx.state.db, row.id)?.phase;
  if (phase !== "created" && phase !== "exited") throw isBusy(row.name, "export");
  const dir = `${ctx.config.runRoot}/x/${newId().slice(0, 16)}`;
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  try {
    await applyHostSteps(ctx.config.keelPath, [{ op: "mount", ...ctx.snapshots.view(row.id), target: dir }]);
    await writeTree(dir, row.name, target, signal);
  } finally {
    await applyHostSteps(ctx.config.keelPath, [{ op: "umount", target: dir }]);
    rmdirSync(dir);
  }
}

async function writeTree(
  root: string,
  name: string,
  target: ExportTarget,
  signal: AbortSignal | undefined,
): Promise<void> {
  const bytes = readTree(root, name, signal);
  if (target.kind === "file") return await writeFileWhole(target.path, bytes);
  for await (const chunk of bytes) await target.write(chunk);
}

async function* readTree(root: string, name: string, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
  // The names at the top are given, so that members are `etc/…`, as docker has them; verbatim: they may look like options.
  const args = [...TAR, "-C", root, "--null", "--verbatim-files-from", "-T", "-", "-cf", "-"];
  const child = spawn("tar", args, { stdio: ["pipe", "pipe", "pipe"], ...(signal === undefined ? {} : { signal }) });
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
      else reject(new BerthError("FailedPrecondition", "start tar: it is not installed", { hint: "install GNU tar" }));
    });
    child.on("close", (code) => resolve(code ?? 128));
  });
}

import { readFileSync } from "node:fs";
import { BerthError } from "@berth/base";
import {
  type ContainerRow,
  formatSpec,
  planExec,
  type ResolvedUser,
  type RuntimeSpec,
  resolveUser,
} from "@berth/containers";
import { applyHostSteps, readHostFacts } from "@berth/linux";
import { runtimeExec } from "@berth/tasks";
import { type ContainerPaths, type Context, pathsOf } from "./context.ts";
import { notRunning, startExitCode } from "./errors.ts";
import { getRow } from "./lookup.ts";
import { settle } from "./settle.ts";
import type { ExecOptions } from "./types.ts";

const MAX_BYTES = 1 << 20;

/** Engine.exec. */
export async function exec(ctx: Context, ref: string, options: ExecOptions): Promise<number> {
  const row = await settle(ctx, getRow(ctx, ref));
  if (row?.phase !== "running") throw notRunning(row?.name ?? ref, "exec in");
  const paths = pathsOf(ctx.config, row.id);
  const config = JSON.parse(readFileSync(`${paths.bundle}/config.json`, "utf8")) as RuntimeSpec;
  const process = planExec({
    spec: row.spec,
    first: config.process,
    wish: options,
    user: options.user === undefined ? undefined : await userInside(ctx, row, paths, options.user),
    host: readHostFacts(),
  });
  const ended = await runtimeExec(ctx.runtime, {
    id: row.id,
    process: formatSpec(process),
    detach: options.detach,
    scratchDir: paths.run,
    stdin: options.stdin,
  });
  if (ended.error === undefined) return ended.code;
  // Our stderr is the runtime's: it has said why.
  if (!options.detach) return startExitCode(ended.error);
  throw new BerthError("FailedPrecondition", `exec in container ${row.name}: ${ended.error}`, {
    details: { exitCode: startExitCode(ended.error) },
  });
}

async function userInside(ctx: Context, row: ContainerRow, paths: ContainerPaths, user: string): Promise<ResolvedUser> {
  // The container runs and may change links meanwhile: keel reads by openat2, confined to the root.
  const [passwd, group] = await applyHostSteps(
    ctx.config.keelPath,
    ["/etc/passwd", "/etc/group"].map((path) => ({ op: "read-file", root: paths.rootfs, path, maxBytes: MAX_BYTES })),
  );
  return resolveUser({ user, passwd: passwd ?? undefined, group: group ?? undefined, groupAdd: row.spec.groupAdd });
}

import type { ContainerRow, ContainerStatus } from "@berth/containers";
import type { Context } from "./context.ts";
import { pathsOf } from "./context.ts";
import { findExit } from "./exit.ts";
import type { Container, ContainerNetwork } from "./types.ts";

const NO_NETWORK: ContainerNetwork = { ipAddress: "", prefixLength: 0, gateway: "", macAddress: "" };

/** A row as callers see it. Read-only: what is half done shows as the state before it. */
export function viewOf(ctx: Context, row: ContainerRow): Container {
  const paths = pathsOf(ctx.config, row.id);
  // A foreground run notes the exit only when it has cleaned up.
  const exit = row.phase === "running" ? findExit(paths.exit) : undefined;
  const status = exit === undefined ? statusOf(row) : "exited";
  const bound = status === "running" ? ctx.networks.find(row.id) : undefined;
  return {
    id: row.id,
    name: row.name,
    spec: row.spec,
    imageId: row.imageId,
    imageName: row.imageName,
    createdAtMs: row.createdAtMs,
    status,
    pid: status === "running" ? pidOf(row) : 0,
    startedAt: row.startedAt,
    finishedAt: exit?.finishedAt ?? row.finishedAt,
    exitCode: exit?.exitCode ?? row.exitCode,
    oomKilled: exit?.oomKilled ?? row.oomKilled,
    error: row.error,
    args: row.args,
    ports: bound?.ports ?? (status === "running" ? row.spec.ports : []),
    network:
      bound === undefined
        ? NO_NETWORK
        : {
            ipAddress: bound.ipAddress,
            prefixLength: bound.prefixLength,
            gateway: bound.gateway,
            macAddress: bound.macAddress,
          },
    logPath: paths.log,
    mounts: row.mounts,
  };
}

function statusOf(row: ContainerRow): ContainerStatus {
  switch (row.phase) {
    case "creating":
      return "created";
    case "starting":
      return row.startedAt === "" ? "created" : "exited";
    default:
      return row.phase;
  }
}

/** Host's pid in a process token. */
export function pidOf(row: ContainerRow): number {
  return row.process === undefined ? 0 : Number(row.process.split(":")[0]);
}

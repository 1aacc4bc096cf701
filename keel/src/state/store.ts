import { isFrozen } from "../cgroup/apply.ts";
import * as c from "../lib/consts.ts";
import { context } from "../lib/context.ts";
import { callError, runtimeError } from "../lib/errors.ts";
import { ensureDirs, parseJson, removeTree } from "../lib/files.ts";
import type { Spec } from "../spec/types.ts";
import { parseRecord, type Record } from "./record.ts";

export type { Record };

export type Status = "creating" | "created" | "running" | "paused" | "stopped";

export const START_SOCKET = "start.sock";

export function containerDir(id: string): string {
  return `${context().root}/${id}`;
}

/** Takes the id: makes its directory. */
export function claimId(id: string): void {
  const { root } = context();
  let result = sys.mkdirat(c.AT_FDCWD, containerDir(id), 0o700);
  if (result === -c.ENOENT) {
    ensureDirs(root, 0o700);
    result = sys.mkdirat(c.AT_FDCWD, containerDir(id), 0o700);
  }
  if (result === -c.EEXIST) {
    throw runtimeError(
      "AlreadyExists",
      "container with given ID already exists",
      `choose another id or: keel delete ${id}`,
    );
  }
  if (result < 0) throw callError(`make state directory ${containerDir(id)}`, result);
}

/** Writes the state beside its place; `publishState` makes the container known. */
export function prepareState(record: Record): void {
  const path = `${containerDir(record.id)}/.state.json`;
  const flags = c.O_WRONLY | c.O_CREAT | c.O_TRUNC | c.O_NOFOLLOW;
  const result = sys.writeFileAt(c.AT_FDCWD, path, JSON.stringify(record), flags, 0o600);
  if (result < 0) throw callError(`write ${path}`, result);
}

export function publishState(id: string): void {
  const dir = containerDir(id);
  const result = sys.renameat(c.AT_FDCWD, `${dir}/.state.json`, c.AT_FDCWD, `${dir}/state.json`);
  if (result < 0) throw callError(`write ${dir}/state.json`, result);
}

export function findRecord(id: string): Record | undefined {
  const text = sys.readFile(`${containerDir(id)}/state.json`);
  if (typeof text === "number") return undefined;
  return parseRecord(text, id);
}

/** @throws NotFound `container does not exist`, the text that runc's callers look for. */
export function getRecord(id: string): Record {
  const record = findRecord(id);
  if (!record) throw runtimeError("NotFound", "container does not exist", `id ${id}, state root ${context().root}`);
  return record;
}

/** Where the container's own config.json is kept. */
export function configPath(id: string): string {
  return `${containerDir(id)}/config.json`;
}

/** The config.json the container was created from, with what `update` changed since. */
export function readSpec(id: string): Spec {
  const path = configPath(id);
  const text = sys.readFile(path);
  if (typeof text === "number") throw callError(`read ${path}`, text);
  return parseJson(text, path) as Spec;
}

/** [state letter, start time] of a process, or undefined when it is gone. */
export function processStat(pid: number): readonly [string, string] | undefined {
  const text = sys.readFile(`/proc/${pid}/stat`);
  if (typeof text === "number") return undefined;
  // the name in parentheses may hold anything, so count from its end
  const fields = text.substring(text.lastIndexOf(")") + 2).split(" ");
  return [fields[0] as string, fields[19] as string];
}

/** True while init is the process that was made: not gone, no zombie, no other process with its number. */
export function isAlive(record: Record): boolean {
  const stat = processStat(record.pid);
  return stat !== undefined && stat[1] === record.startTime && stat[0] !== "Z" && stat[0] !== "X";
}

export function statusOf(record: Record): Status {
  if (!isAlive(record)) return "stopped";
  if (sys.faccessat(c.AT_FDCWD, `${containerDir(record.id)}/${START_SOCKET}`, 0, 0) >= 0) return "created";
  return isFrozen(record.cgroups) ? "paused" : "running";
}

export function removeRecord(id: string): void {
  const fd = sys.open(context().root, c.O_PATH | c.O_DIRECTORY, 0);
  if (fd < 0) return;
  removeTree(fd, id);
  sys.close(fd);
}

/** The state of runtime-spec "State", as hooks get it on stdin and `keel state` prints it. */
export function ociState(record: Record, status: Status): { [key: string]: unknown } {
  return {
    ociVersion: record.ociVersion,
    id: record.id,
    pid: status === "stopped" ? 0 : record.pid,
    status,
    bundle: record.bundle,
    rootfs: record.rootfs,
    created: record.created,
    annotations: record.annotations,
    owner: "",
  };
}

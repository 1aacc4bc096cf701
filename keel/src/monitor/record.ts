import type { ExitRecord } from "@berth/protocol";
import * as c from "../lib/consts.ts";
import { must } from "../lib/errors.ts";
import { countsKill, mountedFile, type OomCounter, parseCgroup, usualFile } from "./oom.ts";

const RAMFS_MAGIC = 0x858458f6;

/** Replaces the file at `path` by the record, durably unless its filesystem is in memory anyway. */
export function writeRecord(path: string, record: ExitRecord): void {
  const slash = path.lastIndexOf("/");
  const directory = path.substring(0, slash) || "/";
  const temporary = `${directory}/.${path.substring(slash + 1)}.tmp`;
  const fd = must(sys.open(temporary, c.O_WRONLY | c.O_CREAT | c.O_TRUNC | c.O_NOFOLLOW, 0o600), `create ${temporary}`);
  const type = sys.fstatfsType(fd);
  const durable = type !== c.TMPFS_MAGIC && type !== RAMFS_MAGIC;
  let result = sys.writeAll(fd, JSON.stringify(record));
  if (result >= 0 && durable) result = sys.fsync(fd);
  sys.close(fd);
  must(result, `write ${temporary}`);
  must(sys.renameat(c.AT_FDCWD, temporary, c.AT_FDCWD, path), `rename ${temporary}`);
  if (!durable) return;
  const dir = must(sys.open(directory, c.O_RDONLY | c.O_DIRECTORY, 0), `open ${directory}`);
  result = sys.fsync(dir);
  sys.close(dir);
  must(result, `sync ${directory}`);
}

/** To be asked while the process lives: afterwards nothing tells its cgroup. */
export function findOomCounter(pid: number): OomCounter | undefined {
  const text = sys.readFile(`/proc/${pid}/cgroup`);
  return typeof text === "string" ? parseCgroup(text) : undefined;
}

/** Whether the kernel ended a process of the cgroup for lack of memory. To be asked before the runtime's delete. */
export function wasOomKilled(counter: OomCounter): boolean {
  let text = sys.readFile(usualFile(counter));
  if (typeof text === "number") {
    const mountinfo = sys.readFile("/proc/self/mountinfo");
    const file = typeof mountinfo === "string" ? mountedFile(counter, mountinfo) : undefined;
    if (file !== undefined) text = sys.readFile(file);
  }
  return typeof text === "string" && countsKill(text);
}

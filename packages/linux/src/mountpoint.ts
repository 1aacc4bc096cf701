import { readFileSync, realpathSync } from "node:fs";
import { basename, dirname } from "node:path";
import { errnoOf } from "@berth/base";

/** Whether something is mounted right at `path` (absolute), a bind mount of the same file system too. */
export function isMountPoint(path: string): boolean {
  const real = realPath(path);
  if (real === undefined) return false;
  return readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .some((line) => plainPath(line.split(" ", 5)[4] ?? "") === real);
}

/** The last component is not followed: it may be a mount that does not answer. */
function realPath(path: string): string | undefined {
  try {
    const dir = realpathSync(dirname(path));
    return dir === "/" ? `/${basename(path)}` : `${dir}/${basename(path)}`;
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return undefined;
    throw error;
  }
}

/** proc(5): space, tab, line feed and backslash are octal. */
function plainPath(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_all, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}

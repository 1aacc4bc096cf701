import { copyAttributes } from "../lib/attributes.ts";
import * as c from "../lib/consts.ts";
import { copyNode } from "../lib/copy.ts";
import { callError, must, mustGet } from "../lib/errors.ts";

/**
 * tmpcopyup: fills a new tmpfs with what it hides, with owners, modes, xattrs and links. Both are descriptors of
 * directories; nothing is reached by a path, and no symlink is followed.
 */
export function copyUp(below: number, mounted: number, path: string): void {
  const from = must(sys.openat(below, ".", c.O_RDONLY | c.O_DIRECTORY, 0), `read ${path} to copy it`);
  const to = must(sys.openat(mounted, ".", c.O_RDONLY | c.O_DIRECTORY, 0), `open the tmpfs at ${path}`);
  copyDirectory(from, to, path);
  sys.close(from);
  sys.close(to);
}

function copyDirectory(from: number, to: number, path: string): void {
  const names = mustGet(sys.readdir(from), `read ${path} to copy it`);
  for (let i = 0; i < names.length; i++) copyEntry(from, to, names[i] as string, `${path}/${names[i]}`);
  const stat = sys.fstat(from);
  if (typeof stat === "number") throw callError(`copy ${path}`, stat);
  must(copyAttributes(from, to, stat), `copy owner and mode of ${path}`);
}

function copyEntry(fromDir: number, toDir: number, name: string, path: string): void {
  const what = `copy ${path} to the tmpfs`;
  const stat = sys.fstatat(fromDir, name, c.AT_SYMLINK_NOFOLLOW);
  if (typeof stat === "number") throw callError(what, stat);
  if ((stat.mode & c.S_IFMT) !== c.S_IFDIR) {
    copyNode({ dir: fromDir, name, stat }, toDir, what);
    return;
  }
  must(sys.mkdirat(toDir, name, 0o700), what);
  const from = must(sys.openat(fromDir, name, c.O_RDONLY | c.O_DIRECTORY | c.O_NOFOLLOW, 0), what);
  const to = must(sys.openat(toDir, name, c.O_RDONLY | c.O_DIRECTORY | c.O_NOFOLLOW, 0), what);
  copyDirectory(from, to, path);
  sys.close(from);
  sys.close(to);
}

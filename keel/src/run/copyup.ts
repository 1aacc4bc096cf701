import { copyAttributes } from "../lib/attributes.ts";
import * as c from "../lib/consts.ts";
import { callError, must, mustGet } from "../lib/errors.ts";

const CHUNK = 1 << 20;

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
  const type = stat.mode & c.S_IFMT;
  if (type === c.S_IFLNK) {
    const target = sys.readlinkat(fromDir, name);
    if (typeof target === "number") throw callError(what, target);
    must(sys.symlinkat(target, toDir, name), what);
  } else if (type === c.S_IFDIR) {
    must(sys.mkdirat(toDir, name, 0o700), what);
    const from = must(sys.openat(fromDir, name, c.O_RDONLY | c.O_DIRECTORY | c.O_NOFOLLOW, 0), what);
    const to = must(sys.openat(toDir, name, c.O_RDONLY | c.O_DIRECTORY | c.O_NOFOLLOW, 0), what);
    copyDirectory(from, to, path);
    sys.close(from);
    sys.close(to);
    return;
  } else if (type === c.S_IFREG) {
    const from = must(sys.openat(fromDir, name, c.O_RDONLY | c.O_NOFOLLOW, 0), what);
    const to = must(sys.openat(toDir, name, c.O_WRONLY | c.O_CREAT | c.O_EXCL | c.O_NOFOLLOW, 0o600), what);
    while (must(sys.copyFd(from, to, CHUNK), what) > 0);
    must(copyAttributes(from, to, stat), what);
    sys.close(from);
    sys.close(to);
    return;
  } else {
    must(sys.mknodat(toDir, name, stat.mode, stat.rdevMajor, stat.rdevMinor), what);
    must(sys.fchmodat(toDir, name, stat.mode & 0o7777), what);
  }
  must(sys.fchownat(toDir, name, stat.uid, stat.gid, c.AT_SYMLINK_NOFOLLOW), what);
}

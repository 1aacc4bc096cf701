import { copyAttributes } from "../lib/attributes.ts";
import * as c from "../lib/consts.ts";
import { callError, must } from "../lib/errors.ts";
import type { Found } from "./lower.ts";
import { pathIn, type Tree } from "./tree.ts";

const CHUNK = 1 << 20;

/**
 * Copies a lower layer's file (no directory) into the present directory, as overlayfs does before it changes one: a name
 * of this layer is about to become a hard link to it.
 */
export function copyUp(tree: Tree, found: Found): void {
  const { fd: dir, path } = tree.present;
  const { name, stat } = found;
  const what = `copy ${pathIn(path, name)} from a lower layer`;
  const type = stat.mode & c.S_IFMT;
  tree.present.changed = true;
  if (type === c.S_IFREG) {
    copyFile(found, dir, what);
    return;
  }
  if (type === c.S_IFLNK) {
    const target = sys.readlinkat(found.dir, name);
    if (typeof target === "number") throw callError(what, target);
    must(sys.symlinkat(target, dir, name), what);
  } else must(sys.mknodat(dir, name, stat.mode, stat.rdevMajor, stat.rdevMinor), what);
  must(sys.fchownat(dir, name, stat.uid, stat.gid, c.AT_SYMLINK_NOFOLLOW), what);
  if (type !== c.S_IFLNK) must(sys.fchmodat(dir, name, stat.mode & 0o7777), what);
  setTime(dir, name, stat, what);
}

function copyFile(found: Found, dir: Fd, what: string): void {
  const { name, stat } = found;
  const from = must(sys.openat(found.dir, name, c.O_RDONLY | c.O_NOFOLLOW, 0), what);
  const to = must(sys.openat(dir, name, c.O_WRONLY | c.O_CREAT | c.O_EXCL | c.O_NOFOLLOW, 0o600), what);
  while (must(sys.copyFd(from, to, CHUNK), what) > 0);
  must(copyAttributes(from, to, stat), what);
  setTime(to, "", stat, what);
  sys.close(from);
  sys.close(to);
}

function setTime(dir: Fd, name: string, stat: Stat, what: string): void {
  const { mtimeSec, mtimeNsec } = stat;
  must(sys.utimensat(dir, name, mtimeSec, mtimeNsec, mtimeSec, mtimeNsec, c.AT_SYMLINK_NOFOLLOW), what);
}

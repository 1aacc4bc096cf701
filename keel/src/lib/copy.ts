import { copyAttributes } from "./attributes.ts";
import * as c from "./consts.ts";
import { callError, must } from "./errors.ts";

const CHUNK = 1 << 20;
/** What one copy_file_range(2) is asked for: it is done in the kernel, but a signal shall not wait for ever. */
const RANGE = 1 << 30;
/** These two file systems, or this kernel, cannot. */
const NO_RANGE: readonly number[] = [-c.EXDEV, -c.EINVAL, -c.ENOSYS, -c.EOPNOTSUPP];
const SEEK_SET = 0;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;

/** A name in a directory, with the attributes that its copy is to have. */
export interface Node {
  readonly dir: Fd;
  readonly name: string;
  readonly stat: Stat;
}

/** Copies what is no directory under the same name: data with its holes, owner, mode, xattrs and time. */
export function copyNode(node: Node, to: Fd, what: string): void {
  const { dir, name, stat } = node;
  const type = stat.mode & c.S_IFMT;
  if (type === c.S_IFREG) {
    copyFile(node, to, what);
    return;
  }
  if (type === c.S_IFLNK) {
    const target = sys.readlinkat(dir, name);
    if (typeof target === "number") throw callError(what, target);
    must(sys.symlinkat(target, to, name), what);
  } else must(sys.mknodat(to, name, stat.mode, stat.rdevMajor, stat.rdevMinor), what);
  must(sys.fchownat(to, name, stat.uid, stat.gid, c.AT_SYMLINK_NOFOLLOW), what);
  if (type !== c.S_IFLNK) must(sys.fchmodat(to, name, stat.mode & 0o7777), what);
  setTime(to, name, stat, what);
}

/** `name` "": the directory itself. */
export function setTime(dir: Fd, name: string, stat: Stat, what: string): void {
  const { mtimeSec, mtimeNsec } = stat;
  must(sys.utimensat(dir, name, mtimeSec, mtimeNsec, mtimeSec, mtimeNsec, c.AT_SYMLINK_NOFOLLOW), what);
}

function copyFile({ dir, name, stat }: Node, toDir: Fd, what: string): void {
  const from = must(sys.openat(dir, name, c.O_RDONLY | c.O_NOFOLLOW, 0), what);
  const to = must(sys.openat(toDir, name, c.O_WRONLY | c.O_CREAT | c.O_EXCL | c.O_NOFOLLOW, 0o600), what);
  copyData(from, to, stat.size, what);
  must(copyAttributes(from, to, stat), what);
  setTime(to, "", stat, what);
  sys.close(from);
  sys.close(to);
}

function copyData(from: Fd, to: Fd, size: number, what: string): void {
  for (let at = 0; at < size; ) {
    const data = sys.lseek(from, at, SEEK_DATA);
    if (data === -c.ENXIO) break;
    // a file system that knows no holes has data everywhere
    const start = data === -c.EINVAL ? at : must(data, what);
    const hole = data === -c.EINVAL ? size : must(sys.lseek(from, start, SEEK_HOLE), what);
    must(sys.lseek(from, start, SEEK_SET), what);
    must(sys.lseek(to, start, SEEK_SET), what);
    copyPiece(from, to, hole - start, what);
    at = hole;
  }
  must(sys.ftruncate(to, size), what);
}

function copyPiece(from: Fd, to: Fd, size: number, what: string): void {
  let left = size;
  let inKernel = true;
  while (left > 0) {
    const copied = inKernel
      ? sys.copyRange(from, to, Math.min(left, RANGE))
      : sys.copyFd(from, to, Math.min(left, CHUNK));
    if (inKernel && NO_RANGE.indexOf(copied) >= 0) {
      inKernel = false;
      continue;
    }
    if (must(copied, what) === 0) return;
    left -= copied;
  }
}

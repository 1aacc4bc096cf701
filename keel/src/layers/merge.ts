import { copyAttributes } from "../lib/attributes.ts";
import * as c from "../lib/consts.ts";
import { copyNode, setTime } from "../lib/copy.ts";
import { callError, must, runtimeError } from "../lib/errors.ts";
import type { IdMapping } from "../spec/types.ts";
import { closeAll, enterAll, isDirectory, OVERLAY_XATTRS, statIn } from "../unpack/lower.ts";
import { hiddenBy, isMark, isWhiteout } from "../unpack/marks.ts";

const DIRECTORY: number = c.O_RDONLY | c.O_DIRECTORY | c.O_NOFOLLOW;
const AT_SYMLINK_FOLLOW = 0x400;

/** Whose the files are in the copy; empty lists: the same owners. */
export interface Owners {
  readonly uid: readonly IdMapping[];
  readonly gid: readonly IdMapping[];
}

/** A file of several names, by the first that was copied. */
interface Linked {
  readonly fd: Fd;
  left: number;
}

interface Work {
  readonly owners: Owners;
  readonly links: { [inode: string]: Linked };
}

/**
 * Copies what overlayfs would show of these layers into the empty directory `to`: for machines that have no overlayfs.
 *
 * @param layers directories, top first; they are closed
 */
export function mergeLayers(layers: readonly Fd[], to: Fd, owners: Owners): void {
  sys.refuseXattrs(OVERLAY_XATTRS);
  copyDirectory(layers, to, ".", { owners, links: {} });
}

/** The directories of one path, top first; they are closed. */
function copyDirectory(parts: readonly Fd[], to: Fd, path: string, work: Work): void {
  const seen: { [name: string]: boolean } = {};
  for (let i = 0; i < parts.length; i++) {
    const part = parts[i] as Fd;
    const names = sys.readdir(part, "./");
    if (typeof names === "number") throw callError(`list ${path}`, names);
    for (let j = 0; j < names.length; j++) {
      const name = names[j] as string;
      if (isMark(name) || seen[name]) continue;
      seen[name] = true;
      const stat = statIn(part, name);
      if (!stat || isWhiteout(stat)) continue;
      const full = `${path}${name.substring(1)}`;
      if (isDirectory(stat)) {
        must(sys.mkdirat(to, name, 0o700), `make directory ${full}`);
        const made = must(sys.openat(to, name, DIRECTORY, 0), `open directory ${full}`);
        copyDirectory(enterAll(parts.slice(i), name), made, full, work);
        sys.close(made);
      } else copyFile(part, name, stat, to, full, work);
    }
    for (let j = 0; j < names.length; j++) if (isMark(names[j] as string)) seen[hiddenBy(names[j] as string)] = true;
  }
  const top = parts[0] as Fd;
  const stat = sys.fstat(top);
  if (typeof stat === "number") throw callError(`look at ${path}`, stat);
  must(copyAttributes(top, to, owned(stat, work.owners, path)), `copy the attributes of ${path}`);
  setTime(to, "", stat, `copy the time of ${path}`);
  closeAll(parts);
}

function copyFile(dir: Fd, name: string, stat: Stat, to: Fd, full: string, work: Work): void {
  const inode = `${stat.dev}:${stat.ino}`;
  const known = stat.nlink > 1 ? work.links[inode] : undefined;
  if (known) {
    must(sys.linkat(c.AT_FDCWD, `/proc/self/fd/${known.fd}`, to, name, AT_SYMLINK_FOLLOW), `link ${full}`);
    if (--known.left === 0) {
      sys.close(known.fd);
      delete work.links[inode];
    }
    return;
  }
  copyNode({ dir, name, stat: owned(stat, work.owners, full) }, to, `copy ${full}`);
  if (work.owners.uid.length > 0 && (stat.mode & c.S_IFMT) === c.S_IFREG) mapCapabilities(to, name, full, work.owners);
  if (stat.nlink < 2) return;
  const fd = must(sys.openat(to, name, c.O_PATH | c.O_NOFOLLOW, 0), `open ${full}`);
  work.links[inode] = { fd, left: stat.nlink - 1 };
}

function owned(stat: Stat, { uid, gid }: Owners, path: string): Stat {
  if (uid.length === 0) return stat;
  const { dev, ino, mode, nlink, rdevMajor, rdevMinor, size, mtimeSec, mtimeNsec } = stat;
  const [u, g] = [shifted(stat.uid, uid, "uid", path), shifted(stat.gid, gid, "gid", path)];
  return { dev, ino, mode, nlink, uid: u, gid: g, rdevMajor, rdevMinor, size, mtimeSec, mtimeNsec };
}

function shifted(id: number, mappings: readonly IdMapping[], kind: string, path: string): number {
  for (let i = 0; i < mappings.length; i++) {
    const { containerID, hostID, size } = mappings[i] as IdMapping;
    if (id >= containerID && id < containerID + size) return hostID + id - containerID;
  }
  throw runtimeError(
    "FailedPrecondition",
    `copy ${path}: its ${kind} ${id} is not in the mappings of the user namespace`,
    "give a longer range",
  );
}

/** A file's capabilities are good in a user namespace only when they name its root (version 3 of the xattr). */
function mapCapabilities(dir: Fd, name: string, full: string, { uid }: Owners): void {
  const step = `map the capabilities of ${full}`;
  const fd = must(sys.openat(dir, name, c.O_RDONLY | c.O_NOFOLLOW, 0), step);
  const value = sys.fgetxattr(fd, CAPABILITIES);
  const old = typeof value === "string" ? sys.bytesFromString(value) : new Uint8Array(0);
  if (old.length === VERSION_2_SIZE && old[3] === 2) {
    const root = shifted(0, uid, "uid", full);
    const map = new Uint8Array(VERSION_2_SIZE + 4);
    map.set(old, 0);
    map[3] = 3;
    for (let i = 0; i < 4; i++) map[VERSION_2_SIZE + i] = (root >>> (8 * i)) & 0xff;
    must(sys.fsetxattr(fd, CAPABILITIES, map), step);
  }
  sys.close(fd);
}

const CAPABILITIES = "security.capability";
const VERSION_2_SIZE = 20;

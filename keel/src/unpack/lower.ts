import * as c from "../lib/consts.ts";
import { callError, must } from "../lib/errors.ts";
import { hiddenBy, isHiddenByFile, isMark, isOpaque, isWhiteout } from "./marks.ts";

/** xattrs by which overlayfs is told what to show: a layer that could set them could show what is not its own. */
export const OVERLAY_XATTRS: readonly string[] = ["trusted.overlay.", "user.overlay."];

/** A name in a lower layer; `dir` is to be closed. */
export interface Found {
  readonly dir: Fd;
  readonly name: string;
  readonly stat: Stat;
}

export function isDirectory(stat: Stat): boolean {
  return (stat.mode & c.S_IFMT) === c.S_IFDIR;
}

/** The entry of this name, undefined when there is none. */
export function statIn(dir: Fd, name: string): Stat | undefined {
  const stat = sys.fstatat(dir, name, c.AT_SYMLINK_NOFOLLOW);
  if (typeof stat !== "number") return stat;
  if (stat === -c.ENOENT || stat === -c.ENOTDIR) return undefined;
  throw callError(`look at ${name}`, stat);
}

/**
 * Looks a path up in lower layers as overlayfs does.
 *
 * @param roots the layers' directories, top first
 * @param names components, at least one, each as `./name`; all but the last are directories in the merged tree
 */
export function findLower(roots: readonly Fd[], names: readonly string[]): Found | undefined {
  let dirs = dupAll(roots);
  for (let i = 0; i < names.length - 1; i++) {
    const next = enterAll(dirs, names[i] as string);
    closeAll(dirs);
    dirs = next;
  }
  const name = names[names.length - 1] as string;
  let found: Found | undefined;
  for (let i = 0; i < dirs.length && !found; i++) {
    const stat = statIn(dirs[i] as Fd, name);
    if (stat ? isWhiteout(stat) : isHiddenByFile(dirs[i] as Fd, name)) break;
    if (!stat) continue;
    found = { dir: must(sys.dupMin(dirs[i] as Fd, 3), "duplicate a descriptor"), name, stat };
  }
  closeAll(dirs);
  return found;
}

/** The directories of this name that the merged one consists of. */
export function enterAll(dirs: readonly Fd[], name: string): Fd[] {
  const next: Fd[] = [];
  for (let i = 0; i < dirs.length; i++) {
    const stat = statIn(dirs[i] as Fd, name);
    if (stat ? !isDirectory(stat) : isHiddenByFile(dirs[i] as Fd, name)) break;
    if (!stat) continue;
    const fd = must(sys.openat(dirs[i] as Fd, name, c.O_RDONLY | c.O_DIRECTORY | c.O_NOFOLLOW, 0), `open ${name}`);
    next.push(fd);
    if (isOpaque(fd)) break;
  }
  return next;
}

/** Names in the merged root directory of these layers, each as `./name`. */
export function listLowerRoot(roots: readonly Fd[]): string[] {
  const seen: { [key: string]: boolean } = {};
  const names: string[] = [];
  for (let i = 0; i < roots.length; i++) {
    const fd = must(sys.openat(roots[i] as Fd, ".", c.O_RDONLY | c.O_DIRECTORY, 0), "open a lower layer");
    const all = sys.readdir(fd, "./");
    sys.close(fd);
    if (typeof all === "number") throw callError("list a lower layer", all);
    for (let j = 0; j < all.length; j++) {
      const name = all[j] as string;
      if (isMark(name) || seen[name]) continue;
      seen[name] = true;
      const stat = statIn(roots[i] as Fd, name);
      if (stat && !isWhiteout(stat)) names.push(name);
    }
    for (let j = 0; j < all.length; j++) if (isMark(all[j] as string)) seen[hiddenBy(all[j] as string)] = true;
  }
  return names;
}

function dupAll(fds: readonly Fd[]): Fd[] {
  const copies: Fd[] = [];
  for (let i = 0; i < fds.length; i++) copies.push(must(sys.dupMin(fds[i] as Fd, 3), "duplicate a descriptor"));
  return copies;
}

export function closeAll(fds: readonly Fd[]): void {
  for (let i = 0; i < fds.length; i++) sys.close(fds[i] as Fd);
}

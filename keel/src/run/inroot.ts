import * as c from "../lib/consts.ts";
import { callError, must, runtimeError } from "../lib/errors.ts";

/** Resolution that cannot leave the root descriptor, whatever symlinks the image holds (CVE-2019-18837, CVE-2021-30465). */
export const IN_ROOT = c.RESOLVE_IN_ROOT | c.RESOLVE_NO_MAGICLINKS;

/** O_PATH descriptor of an existing path in the root, or a negative errno. */
export function openInRoot(root: number, path: string, flags: number): number {
  return sys.openat2(root, path === "/" ? "." : path.substring(1), c.O_PATH | flags, 0, IN_ROOT);
}

/**
 * O_PATH descriptor of a path in the root; what is missing is made: directories 0755, and the last part as an empty
 * file when `file`. Step by step on descriptors, so that a racing rename cannot make directories elsewhere
 * (CVE-2024-45310); dangling symlinks are followed inside the root.
 */
export function ensureInRoot(root: number, path: string, file: boolean, depth?: number): number {
  const there = openInRoot(root, path, 0);
  if (there !== -c.ENOENT) return must(there, `open ${path} in the rootfs`);
  const hops = depth || 0;
  if (hops > 40) throw callError(`open ${path} in the rootfs`, -c.ELOOP);
  const slash = path.lastIndexOf("/");
  const parentPath = slash <= 0 ? "/" : path.substring(0, slash);
  const name = path.substring(slash + 1);
  const parent = ensureInRoot(root, parentPath, false, hops + 1);
  const made = file
    ? sys.openat(parent, name, c.O_WRONLY | c.O_CREAT | c.O_EXCL | c.O_NOFOLLOW, 0o755)
    : sys.mkdirat(parent, name, 0o755);
  if (made === -c.EEXIST) {
    const target = sys.readlinkat(parent, name);
    sys.close(parent);
    if (typeof target === "number") return must(openInRoot(root, path, 0), `open ${path} in the rootfs`);
    const next = target.charAt(0) === "/" ? target : `${parentPath}/${target}`;
    return ensureInRoot(root, next, file, hops + 1);
  }
  if (made < 0) throw callError(`make ${file ? "file" : "directory"} ${path} in the rootfs`, made);
  if (file) sys.close(made);
  const fd = sys.openat(parent, name, c.O_PATH | c.O_NOFOLLOW, 0);
  sys.close(parent);
  return must(fd, `open ${path} in the rootfs`);
}

/** A mount point for procfs, sysfs or cgroups: no part of the path may be a symlink (CVE-2019-19921). */
export function openStrict(root: number, path: string): number {
  const flags = c.O_PATH | c.O_DIRECTORY;
  const fd = sys.openat2(root, path.substring(1), flags, 0, IN_ROOT | c.RESOLVE_NO_SYMLINKS);
  if (fd === -c.ELOOP || fd === -c.ENOTDIR) {
    throw runtimeError(
      "PermissionDenied",
      `mount at ${path}: it must be mounted on ordinary directory, a symlink or a file is in the way`,
      "the image must hold a real directory there",
    );
  }
  if (fd !== -c.ENOENT) return must(fd, `open ${path} in the rootfs`);
  // what was made is looked up again: a symlink may have come in between, and ensureInRoot would have followed it
  sys.close(ensureInRoot(root, path, false));
  return must(
    sys.openat2(root, path.substring(1), flags, 0, IN_ROOT | c.RESOLVE_NO_SYMLINKS),
    `open ${path} in the rootfs`,
  );
}

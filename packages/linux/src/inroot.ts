import { closeSync, constants, fstatSync, lstatSync, openSync, readFileSync, readlinkSync } from "node:fs";
import { errnoOf } from "@berth/base";
import { badPath } from "./errors.ts";

/** As the kernel's MAXSYMLINKS. */
const MAX_LINKS = 40;

/**
 * Host path of `path` as a process with the root directory `root` would see it: symbolic links are followed, and
 * neither they nor `..` lead out of `root`. What does not exist is appended as it is.
 *
 * Only for trees in which nothing runs: a process that swaps a directory for a link between this check and the use
 * leads out of the root. (The runtime uses openat2(2) with RESOLVE_IN_ROOT, which Node does not offer.)
 *
 * @param root absolute path without symbolic links
 * @throws {BerthError} InvalidArgument on too many links or a NUL byte
 */
export function resolveInRoot(root: string, path: string): string {
  if (path.includes("\0")) throw badPath(root, JSON.stringify(path), "contains a NUL byte");
  const todo = path.split("/").reverse();
  const done: string[] = [];
  let links = 0;
  while (todo.length > 0) {
    const name = todo.pop();
    if (name === undefined || name === "" || name === ".") continue;
    if (name === "..") {
      done.pop();
      continue;
    }
    const target = readLink(root, [...done, name]);
    if (target === undefined) {
      done.push(name);
      continue;
    }
    if (++links > MAX_LINKS) throw badPath(root, path, "too many symbolic links");
    if (target.startsWith("/")) done.length = 0;
    todo.push(...target.split("/").reverse());
  }
  return join(root, done);
}

/**
 * Text of the regular file `path` below `root`, resolved by {@link resolveInRoot} (its restriction applies), or
 * undefined if there is none.
 *
 * @throws {BerthError} InvalidArgument if it is not a regular file or longer than `maxBytes`
 */
export function readFileInRoot(root: string, path: string, maxBytes: number): string | undefined {
  const full = resolveInRoot(root, path);
  let fd: number;
  try {
    // Neither a FIFO nor a device of a hostile image may block or act here.
    fd = openSync(full, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === "ENOENT" || errno === "ENOTDIR") return undefined;
    throw badPath(root, path, errno ?? String(error), error);
  }
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile()) throw badPath(root, path, "not a regular file");
    if (stat.size > maxBytes) throw badPath(root, path, `${stat.size} bytes, more than ${maxBytes}`);
    return readFileSync(fd, "utf8");
  } finally {
    closeSync(fd);
  }
}

function readLink(root: string, parts: readonly string[]): string | undefined {
  const path = join(root, parts);
  try {
    return lstatSync(path).isSymbolicLink() ? readlinkSync(path) : undefined;
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === "ENOENT" || errno === "ENOTDIR") return undefined;
    throw badPath(root, `/${parts.join("/")}`, errno ?? String(error), error);
  }
}

function join(root: string, parts: readonly string[]): string {
  return parts.length === 0 ? root : `${root === "/" ? "" : root}/${parts.join("/")}`;
}

import * as c from "../lib/consts.ts";
import { must, runtimeError } from "../lib/errors.ts";
import { inUserNamespace } from "../lib/userns.ts";

/**
 * Marks that say what a layer takes away of those below it. overlayfs's are a character device 0/0 in the place of a name,
 * and an xattr of a directory. Where a file system refuses such (overlayfs itself, NFS), they are empty files, named as in
 * an image: `.wh.name`, and `.wh..wh..opq` in the directory. fuse-overlayfs and `keel merge` know both.
 */
let inFiles = false;

/** The xattr; in a user namespace that of overlayfs's option `userxattr`. */
const OPAQUE: string = inUserNamespace() ? "user.overlay.opaque" : "trusted.overlay.opaque";
const OPAQUE_FILE = "./.wh..wh..opq";
const TRIAL = "./.wh..wh.trial";

/** From now on marks are looked for in files too. */
export function useFileMarks(): void {
  inFiles = true;
}

/** Whether marks of this directory's file system must be files: tries to make one in there. */
export function needsFileMarks(dir: Fd): boolean {
  const device = sys.mknodat(dir, TRIAL, c.S_IFCHR, 0, 0);
  if (device >= 0) sys.unlinkat(dir, TRIAL, 0);
  return device < 0;
}

export function marksAreFiles(): boolean {
  return inFiles;
}

/** overlayfs's whiteout: a character device 0/0. */
export function isWhiteout(stat: Stat): boolean {
  return (stat.mode & c.S_IFMT) === c.S_IFCHR && stat.rdevMajor === 0 && stat.rdevMinor === 0;
}

/** The directory's own mark, in a file, hides `./name` of the layers below. */
export function isHiddenByFile(dir: Fd, name: string): boolean {
  return inFiles && isThere(dir, markOf(name));
}

/** Whether a name is that of a mark, where marks are files. */
export function isMark(name: string): boolean {
  return inFiles && name.substring(0, 6) === "./.wh.";
}

/** The name that a mark hides; the mark of an opaque directory hides none. */
export function hiddenBy(mark: string): string {
  return `./${textOf(mark.substring(6), mark)}`;
}

/** Makes the mark of `./name`. -EEXIST: its place is taken, by a file of that name or by a mark. */
export function makeWhiteout(dir: Fd, name: string): Errno {
  if (!inFiles) return sys.mknodat(dir, name, c.S_IFCHR, 0, 0);
  return isThere(dir, name) ? -c.EEXIST : sys.mknodat(dir, markOf(name), c.S_IFREG, 0, 0);
}

/** Takes the mark of `./name` away, for something of that name was made; returns whether there was one. */
export function removeFileMark(dir: Fd, name: string): boolean {
  if (!inFiles) return false;
  const result = sys.unlinkat(dir, markOf(name), 0);
  if (result !== -c.ENOENT) must(result, `remove a mark of ${name}`);
  return result >= 0;
}

export function isOpaque(dir: Fd): boolean {
  return sys.fgetxattr(dir, OPAQUE) === "y" || (inFiles && isThere(dir, OPAQUE_FILE));
}

export function makeOpaque(dir: Fd): Errno {
  if (!inFiles) return sys.fsetxattr(dir, OPAQUE, "y");
  const result = sys.mknodat(dir, OPAQUE_FILE, c.S_IFREG, 0, 0);
  return result === -c.EEXIST ? 0 : result;
}

function isThere(dir: Fd, name: string): boolean {
  return typeof sys.fstatat(dir, name, c.AT_SYMLINK_NOFOLLOW) !== "number";
}

function markOf(name: string): string {
  return `./.wh.${textOf(name.substring(2), name)}`;
}

/** What begins with a byte that begins no character is a symbol to Duktape, which nothing can be appended to. */
function textOf(piece: unknown, name: string): string {
  if (typeof piece === "string") return piece;
  throw runtimeError("Unimplemented", `mark ${name}: the name is no text, and this file system has no device nodes`);
}

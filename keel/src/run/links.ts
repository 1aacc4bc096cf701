// crun's `dest-nofollow` and `copy-symlink`: bind mounts that end in a symlink of the image.
import * as c from "../lib/consts.ts";
import { callError, must, runtimeError } from "../lib/errors.ts";
import { ensureInRoot } from "./inroot.ts";

const PROC_SUPER_MAGIC = 0x9fa0;

/** O_PATH descriptor of what is at a path in the root, be it a symlink; it must be there. */
export function openLink(root: number, path: string): number {
  const { parent, name } = parentOf(root, path);
  // what procfs links to is how the runtime, and the program, find themselves
  if (sys.fstatfsType(parent) === PROC_SUPER_MAGIC)
    throw runtimeError("PermissionDenied", `mount at ${path}: a link of procfs cannot be mounted over (dest-nofollow)`);
  const fd = sys.openat(parent, name, c.O_PATH | c.O_NOFOLLOW, 0);
  sys.close(parent);
  return must(fd, `open ${path} in the rootfs, without following it (dest-nofollow)`);
}

/** Makes the symlink `source` of the host at `dest` in the root. Returns false when the source is none. */
export function copyLink(source: string, dest: string, root: number): boolean {
  const target = sys.readlinkat(c.AT_FDCWD, source);
  if (typeof target === "number") return false;
  const { parent, name } = parentOf(root, dest);
  const made = sys.symlinkat(target, parent, name);
  const there = made === -c.EEXIST ? sys.readlinkat(parent, name) : target;
  sys.close(parent);
  if (made < 0 && made !== -c.EEXIST) throw callError(`copy the symlink ${source} to ${dest}`, made);
  if (there !== target)
    throw runtimeError("AlreadyExists", `copy the symlink ${source} to ${dest}: something else is there in the rootfs`);
  return true;
}

function parentOf(root: number, path: string): { readonly parent: number; readonly name: string } {
  const slash = path.lastIndexOf("/");
  const parent = ensureInRoot(root, slash <= 0 ? "/" : path.substring(0, slash), false);
  return { parent, name: path.substring(slash + 1) };
}

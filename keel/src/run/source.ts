import * as c from "../lib/consts.ts";
import type { LinkOptions } from "../lib/mountopts.ts";

/** A detached copy of what is mounted at `path`, or -errno. */
export function openSource(path: string, recursive: boolean, links?: LinkOptions): number {
  const nofollow = links && links.source ? c.AT_SYMLINK_NOFOLLOW : 0;
  return sys.openTree(c.AT_FDCWD, path, c.OPEN_TREE_CLONE | nofollow | (recursive ? c.AT_RECURSIVE : 0));
}

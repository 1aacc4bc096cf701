import * as c from "./consts.ts";

/** Owner, mode and xattrs. */
export function copyAttributes(from: Fd, to: Fd, stat: Stat): Errno {
  let result = sys.fchownat(to, "", stat.uid, stat.gid, c.AT_EMPTY_PATH);
  if (result >= 0) result = sys.fchmod(to, stat.mode & 0o7777);
  if (result >= 0) result = sys.copyXattrs(from, to);
  return result;
}

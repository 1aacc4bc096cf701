import { BerthError, errnoOf } from "@berth/base";

export const badName = (name: string): BerthError =>
  new BerthError("InvalidArgument", `create volume "${name}": not a valid name`, {
    hint: "use two or more letters, digits, _, . and -, beginning with a letter or digit; a host directory needs an absolute path",
  });

export const noVolume = (name: string): BerthError => new BerthError("NotFound", `find volume ${name}: no such volume`);

export const inUse = (name: string, users: readonly string[]): BerthError =>
  new BerthError("FailedPrecondition", `remove volume ${name}: volume is in use by ${users.join(", ")}`, {
    hint: "remove these containers first",
  });

/** cp or sync failed. */
export const copyFailed = (name: string, why: string): BerthError =>
  new BerthError(/no space left/i.test(why) ? "ResourceExhausted" : "Unavailable", `fill volume ${name}: ${why}`, {
    hint: "free space on the file system of the data directory, and start the container again",
  });

/** Errors of the file system that the user can act on as BerthError; anything else is returned as it is. */
export function translate(error: unknown, path: string): unknown {
  const errno = errnoOf(error);
  const options = { cause: error, details: { path, errno } };
  if (errno === "ENOSPC" || errno === "EDQUOT") {
    return new BerthError("ResourceExhausted", `write ${path}: no space left (${errno})`, {
      ...options,
      hint: "free space or inodes on its file system, or use another data directory",
    });
  }
  if (errno === "EACCES" || errno === "EPERM" || errno === "EROFS") {
    return new BerthError("PermissionDenied", `write ${path}: ${errno}`, {
      ...options,
      hint: "run as the user who owns the data directory, usually root",
    });
  }
  return error;
}

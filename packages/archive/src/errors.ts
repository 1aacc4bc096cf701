import { BerthError, errnoOf } from "@berth/base";

/** The bytes are no archive that can be read. */
export const badArchive = (path: string, why: string, hint?: string): BerthError =>
  new BerthError("InvalidArgument", `read archive ${path}: ${why}`, {
    hint: hint ?? "give a directory, or a tar file (plain, gzip or zstd), made by docker save, skopeo or buildah",
  });

/** The archive has no such file. */
export const noMember = (path: string, name: string): BerthError =>
  new BerthError("NotFound", `read ${name} in ${path}: no such file in the archive`, {
    hint: "the archive is incomplete: make it again",
  });

/** A member is shorter than it should be. */
export const truncated = (path: string, name: string): BerthError =>
  new BerthError("DataLoss", `read ${name} in ${path}: the archive ends too early`, { hint: "copy the archive again" });

/** A document is larger than any real one. */
export const tooLong = (path: string, name: string, max: number): BerthError =>
  new BerthError("ResourceExhausted", `read ${name} in ${path}: longer than the allowed ${max} bytes`);

/** Errors of the file system that the user can act on as BerthError; anything else is returned as it is. */
export function translate(error: unknown, path: string): unknown {
  const errno = errnoOf(error);
  const options = { cause: error, details: { path, errno } };
  if (errno === "ENOENT" || errno === "ENOTDIR") {
    return new BerthError("NotFound", `open ${path}: no such file or directory`, options);
  }
  if (errno === "EACCES" || errno === "EPERM")
    return new BerthError("PermissionDenied", `open ${path}: ${errno}`, options);
  if (errno === "ENOSPC" || errno === "EDQUOT") {
    const hint = "free space on its file system, or use another data directory";
    return new BerthError("ResourceExhausted", `unpack ${path}: no space left (${errno})`, { ...options, hint });
  }
  return error;
}

/** A directory to write has something in it. */
export const alreadyThere = (path: string): BerthError =>
  new BerthError("AlreadyExists", `write directory ${path}: it is not empty`, {
    hint: "give a new directory, or remove this one first",
  });

/** As {@link translate}, for what is written. */
export function translateWrite(error: unknown, path: string): unknown {
  const errno = errnoOf(error);
  const options = { cause: error, details: { path, errno } };
  switch (errno) {
    case "ENOENT":
    case "ENOTDIR":
      return new BerthError("NotFound", `write ${path}: its directory does not exist (${errno})`, options);
    case "EACCES":
    case "EPERM":
    case "EROFS":
      return new BerthError("PermissionDenied", `write ${path}: ${errno}`, options);
    case "EISDIR":
    case "EEXIST":
      return new BerthError("AlreadyExists", `write ${path}: ${errno}`, options);
    case "ENOSPC":
    case "EDQUOT":
    case "EFBIG":
      return new BerthError("ResourceExhausted", `write ${path}: no space left (${errno})`, {
        hint: "free space on its file system, for example by removing images",
        ...options,
      });
    default:
      return error;
  }
}

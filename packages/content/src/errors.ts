import { BerthError, errnoOf } from "@berth/base";
import type { Digest } from "@berth/oci";

const AGAIN = "pull again; if it repeats, the registry or a proxy changes the bytes";

/** The bytes are not what the digest promises. */
export const digestMismatch = (want: Digest, got: Digest): BerthError =>
  new BerthError("DataLoss", `verify blob ${want}: content has digest ${got}`, { hint: AGAIN, details: { want, got } });

/** The source ended early or went on too long. */
export const sizeMismatch = (digest: Digest, want: number, got: number): BerthError =>
  new BerthError(
    "DataLoss",
    `verify blob ${digest}: ${got < want ? "ended after" : "has at least"} ${got} of ${want} bytes`,
    {
      hint: AGAIN,
      details: { digest, want, got },
    },
  );

/** A blob that was there is gone or changed on disk. */
export const damaged = (digest: Digest, path: string, why: string): BerthError =>
  new BerthError("DataLoss", `read blob ${digest}: ${path} ${why}`, {
    hint: "remove the image and pull it again",
    details: { path },
  });

/** Errors of the file system that the user can act on as BerthError; anything else is returned as it is. */
export function translate(error: unknown, path: string): unknown {
  const errno = errnoOf(error);
  if (errno === "ENOSPC" || errno === "EDQUOT" || errno === "EFBIG") {
    return new BerthError("ResourceExhausted", `write ${path}: no space left (${errno})`, {
      hint: "free space on its file system, for example by removing images, or use another data directory",
      cause: error,
      details: { path, errno },
    });
  }
  if (errno === "EACCES" || errno === "EPERM" || errno === "EROFS") {
    return new BerthError("PermissionDenied", `write ${path}: ${errno}`, {
      hint: "run as the user who owns the data directory, usually root",
      cause: error,
      details: { path, errno },
    });
  }
  return error;
}

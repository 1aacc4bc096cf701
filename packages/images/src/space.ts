import { statfsSync } from "node:fs";
import { BerthError, formatBytes } from "@berth/base";

/** The error of a full disk with how much is free, of what, and where; any other error stays as it is. */
export function tellSpace(error: BerthError, path: string): BerthError {
  const isFull = ["ENOSPC", "EDQUOT"].includes(String(error.details?.["errno"])) || /disk is full/.test(error.message);
  if (!isFull) return error;
  const { bavail, blocks, bsize, ffree } = statfsSync(path);
  const inodes = ffree < 100 ? ` and ${ffree} files` : "";
  return new BerthError(error.code, error.message, {
    hint:
      `${formatBytes(bavail * bsize)}${inodes} of ${formatBytes(blocks * bsize)} are free now on the file system of ${path}: ` +
      "free space, for example by removing images, or use another data root",
    cause: error,
    ...(error.details === undefined ? {} : { details: error.details }),
  });
}

import { BerthError, errnoOf } from "@berth/base";
import type { Digest } from "@berth/oci";

/** The layers that a snapshot shall stand on are gone. */
export const noParent = (parent: Digest): BerthError =>
  new BerthError("FailedPrecondition", `prepare snapshot: its layer ${parent} is not in the store`, {
    hint: "the image was removed meanwhile: pull it again",
  });

export const noSnapshot = (key: string): BerthError =>
  new BerthError("NotFound", `find snapshot ${key}: no such snapshot`);

/** A layer cannot go yet. */
export const layerInUse = (chainId: Digest, why: string): BerthError =>
  new BerthError("FailedPrecondition", `remove layer ${chainId}: ${why}`);

/** Overlayfs reads `:` and `,` as separators. */
export const badRoot = (root: string): BerthError =>
  new BerthError("InvalidArgument", `open snapshots in ${root}: the path contains ":", "," or "\\"`, {
    hint: "overlayfs cannot mount such paths: use another data directory",
  });

/** What the configuration asks for does not work here. */
export const noDriver = (driver: string, why: string): BerthError =>
  new BerthError("FailedPrecondition", `use snapshotter ${driver}: ${why}`, {
    hint: "leave the choice to Berth (BERTH_SNAPSHOTTER=auto), or use native, which works everywhere",
    details: { snapshotter: driver },
  });

/** The disk could not take the layer durably. */
export const syncFailed = (dir: string, why: string): BerthError =>
  new BerthError("Unavailable", `sync ${dir}: ${why}`, { hint: "check the disk: the kernel's log says more" });

/** Errors of the file system that the user can act on as BerthError; anything else is returned as it is. */
export function translate(error: unknown, path: string): unknown {
  const errno = errnoOf(error);
  const options = { cause: error, details: { path, errno } };
  if (errno === "ENOSPC" || errno === "EDQUOT") {
    return new BerthError("ResourceExhausted", `write ${path}: no space left (${errno})`, {
      ...options,
      hint: "free space or inodes on its file system, for example by removing images, or use another data directory",
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

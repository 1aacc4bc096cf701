import { closeSync, fsyncSync, openSync, rmSync, statSync } from "node:fs";

/** Makes names in a directory durable. */
export function syncDir(dir: string): void {
  const fd = openSync(dir, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Size of a file, or undefined when it is not there. */
export function sizeOf(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.size;
}

/** Removes a file; absent is fine. */
export function removeFile(path: string): void {
  rmSync(path, { force: true });
}

import { closeSync, openSync, readSync } from "node:fs";

/**
 * Random bytes from the kernel, as getrandom(2) gives them. Node's crypto module does the same and takes 6 to 10 ms to
 * load, which every `berth run` would pay.
 */
export function randomBytes(count: number): Buffer {
  const bytes = Buffer.alloc(count);
  const fd = openSync("/dev/urandom", "r");
  try {
    // Whole up to 256 bytes (random(4)); more is read in pieces.
    for (let at = 0; at < count; ) at += readSync(fd, bytes, at, Math.min(256, count - at), null);
  } finally {
    closeSync(fd);
  }
  return bytes;
}

/** A new random id of 64 hex digits, as docker's container ids. */
export function newId(): string {
  return randomBytes(32).toString("hex");
}

/** The 12 digits that tables show of a 64-digit id or of a `sha256:` digest. */
export function shortId(id: string): string {
  return id.slice(id.indexOf(":") + 1).slice(0, 12);
}

import { read } from "node:fs";
import { promisify } from "node:util";

const CHUNK = 1024 * 1024;
const readAsync = promisify(read);

/**
 * The bytes of an open file from `start` on, or from where it stands. The descriptor stays the caller's: a stream of
 * node:fs closes it when it is given up, whatever it was told.
 */
export async function* readOpen(fd: number, start?: number): AsyncGenerator<Buffer> {
  for (let at = start; ; ) {
    const buffer = Buffer.allocUnsafe(CHUNK);
    const { bytesRead } = await readAsync(fd, buffer, 0, CHUNK, at ?? null);
    if (bytesRead === 0) return;
    yield buffer.subarray(0, bytesRead);
    if (at !== undefined) at += bytesRead;
  }
}

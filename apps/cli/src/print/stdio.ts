/** The only place that writes to stdout and stderr. */
import { write as writeAsync, writeSync } from "node:fs";
import { BerthError, errnoOf, pause } from "@berth/base";
import type { Chunk } from "../command.ts";

export type Fd = 1 | 2;

/** Writes all of it before it returns; for results and messages, which are short. Throws EPIPE when the reader is gone. */
export function writeNow(fd: Fd, data: string | Uint8Array): void {
  let rest = typeof data === "string" ? Buffer.from(data) : data;
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(fd, rest));
    } catch (error) {
      // Somebody who shares the pipe has made it non-blocking, and it is full.
      if (errnoOf(error) !== "EAGAIN") throw tellFull(error, fd);
      pause(2);
    }
  }
}

let unfinished = 0;

/** True while a write of {@link byteWriter} hangs on its reader: then process.exit() would wait for it too. */
export function isWriting(): boolean {
  return unfinished > 0;
}

/**
 * A writer for the bytes of a running container: one write at a time, off the main thread, so that signals and the
 * terminal are served while the reader is slow. Resolves when the bytes are written.
 */
export function byteWriter(fd: Fd): (data: Uint8Array) => Promise<void> {
  let last: Promise<void> = Promise.resolve();
  return (data) => {
    last = last.then(() => writeAll(fd, data));
    return last;
  };
}

async function writeAll(fd: Fd, data: Uint8Array): Promise<void> {
  for (let done = 0; done < data.length; ) done += await writeSome(fd, data, done);
}

function writeSome(fd: Fd, data: Uint8Array, offset: number): Promise<number> {
  unfinished++;
  return new Promise((resolve, reject) => {
    writeAsync(fd, data, offset, data.length - offset, null, (error, count) => {
      unfinished--;
      if (error === null) resolve(count);
      else if (error.code === "EAGAIN") setTimeout(resolve, 2, 0);
      else reject(tellFull(error, fd));
    });
  });
}

/** The file behind our output may be on a full disk. */
function tellFull(error: unknown, fd: Fd): unknown {
  const errno = errnoOf(error);
  if (errno !== "ENOSPC" && errno !== "EDQUOT" && errno !== "EFBIG") return error;
  const name = fd === 1 ? "output" : "error output";
  return new BerthError("ResourceExhausted", `write to standard ${name}: no space left (${errno})`, {
    hint: "free space where it is redirected to, and remove what was written of it",
    cause: error,
    details: { fd, errno },
  });
}

/** True when the error says that the reader of our output has gone, which is no fault. */
export function isBrokenPipe(error: unknown): boolean {
  return errnoOf(error) === "EPIPE";
}

/** As much as is gathered before it is written. */
const GATHER_BYTES = 65_536;

/** Writes a stream of chunks in order; what arrives at once goes in one write. Returns the stream's own result. */
export async function writeChunks(
  chunks: AsyncGenerator<Chunk, number>,
  write: (fd: Fd, data: Uint8Array) => void,
): Promise<number> {
  let gathered: Uint8Array[] = [];
  let size = 0;
  let target: Fd = 1;
  let failure: Error | undefined;
  let scheduled: NodeJS.Immediate | undefined;
  const flush = (): void => {
    scheduled = undefined;
    const data = Buffer.concat(gathered);
    gathered = [];
    size = 0;
    if (data.length > 0) write(target, data);
  };
  const flushSoon = (): void => {
    try {
      flush();
    } catch (error) {
      failure = error instanceof Error ? error : new Error(String(error));
    }
  };
  for (;;) {
    const next = await chunks.next();
    if (failure !== undefined) throw failure;
    if (next.done) {
      if (scheduled !== undefined) clearImmediate(scheduled);
      flush();
      return next.value;
    }
    const { to, data } = next.value;
    const fd = to === "stdout" ? 1 : 2;
    if (fd !== target || size > GATHER_BYTES) flush();
    target = fd;
    const bytes = typeof data === "string" ? Buffer.from(data) : data;
    gathered.push(bytes);
    size += bytes.length;
    scheduled ??= setImmediate(flushSoon);
  }
}

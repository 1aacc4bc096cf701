import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { errnoOf } from "@berth/base";
import type { LogEntry, LogOptions } from "./types.ts";

const CHUNK = 65536;
const FOLLOW_INTERVAL_MS = 50;
const LINE_FEED = 10;

/**
 * The entries of a log in the Kubernetes CRI format (`<RFC 3339> <stream> <P|F> <text>`), oldest first.
 *
 * @param isOver asked when the end was reached while following: nothing more will be written
 */
export async function* readLog(
  path: string,
  options: LogOptions,
  isOver: () => Promise<boolean>,
): AsyncGenerator<LogEntry> {
  const fd = openLog(path);
  if (fd === undefined) return;
  try {
    let at = options.tail === undefined ? 0 : findTail(fd, options.tail);
    let rest: Buffer = Buffer.alloc(0);
    let over = false;
    for (;;) {
      options.signal?.throwIfAborted();
      const chunk = Buffer.allocUnsafe(CHUNK);
      const read = readSync(fd, chunk, 0, CHUNK, at);
      at += read;
      if (read === 0) {
        if (!options.follow || over) return;
        // Asked before the last look: what was written until then is seen by it.
        over = await isOver();
        if (!over) await sleep(FOLLOW_INTERVAL_MS, undefined, options.signal ? { signal: options.signal } : {});
        continue;
      }
      rest = Buffer.concat([rest, chunk.subarray(0, read)]);
      let start = 0;
      for (let end = rest.indexOf(LINE_FEED); end >= 0; end = rest.indexOf(LINE_FEED, start)) {
        const entry = parseEntry(rest.subarray(start, end));
        if (entry !== undefined && inTime(entry, options)) yield entry;
        start = end + 1;
      }
      rest = rest.subarray(start);
    }
  } finally {
    closeSync(fd);
  }
}

/** A container that was never started has no log. */
function openLog(path: string): number | undefined {
  try {
    return openSync(path, "r");
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

/** One line of the file without its line feed; undefined if it is none. */
export function parseEntry(line: Buffer): LogEntry | undefined {
  const afterTime = line.indexOf(0x20);
  const afterStream = line.indexOf(0x20, afterTime + 1);
  if (afterTime <= 0 || afterStream < 0 || line[afterStream + 2] !== 0x20) return undefined;
  const stream = line.toString("latin1", afterTime + 1, afterStream);
  if (stream !== "stdout" && stream !== "stderr") return undefined;
  const isWhole = line[afterStream + 1] === 0x46; // F
  const text = line.subarray(afterStream + 3);
  return {
    timestamp: line.toString("latin1", 0, afterTime),
    stream,
    data: isWhole ? Buffer.concat([text, Buffer.of(LINE_FEED)]) : Buffer.from(text),
  };
}

function inTime(entry: LogEntry, options: LogOptions): boolean {
  if (options.sinceMs === undefined && options.untilMs === undefined) return true;
  const ms = Date.parse(entry.timestamp);
  return ms >= (options.sinceMs ?? 0) && ms <= (options.untilMs ?? Number.POSITIVE_INFINITY);
}

/** Offset at which the last `count` whole lines begin; parts of a line belong to the line they are parts of. */
function findTail(fd: number, count: number): number {
  const size = fstatSync(fd).size;
  if (count === 0) return size;
  let wanted = count;
  let end = size;
  let carried: Buffer = Buffer.alloc(0);
  while (end > 0) {
    const start = Math.max(0, end - CHUNK);
    const chunk = Buffer.allocUnsafe(end - start);
    readSync(fd, chunk, 0, chunk.length, start);
    const data = Buffer.concat([chunk, carried]);
    let stop = data.length;
    for (let feed = data.lastIndexOf(LINE_FEED, stop - 1); feed >= 0; feed = data.lastIndexOf(LINE_FEED, feed - 1)) {
      const line = data.subarray(feed + 1, stop);
      if (line.length > 0 && isWholeLine(line) && wanted-- === 0) return start + stop;
      stop = feed + 1;
      if (feed === 0) break;
    }
    carried = data.subarray(0, stop);
    end = start;
  }
  if (carried.length > 0 && isWholeLine(carried) && wanted-- === 0) return carried.length;
  return 0;
}

function isWholeLine(line: Buffer): boolean {
  const end = line.at(-1) === LINE_FEED ? line.length - 1 : line.length;
  const afterTime = line.indexOf(0x20);
  const afterStream = line.indexOf(0x20, afterTime + 1);
  return afterStream > 0 && afterStream + 1 < end && line[afterStream + 1] === 0x46;
}

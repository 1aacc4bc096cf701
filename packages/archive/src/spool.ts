import { closeSync, mkdirSync, openSync, unlinkSync, writeSync } from "node:fs";
import { join } from "node:path";
import { Readable, type Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { BerthError } from "@berth/base";
import { badArchive, translateWrite } from "./errors.ts";
import { readOpen } from "./read.ts";
import type { ArchiveOptions } from "./types.ts";

const MAX_SPOOL_BYTES = 64 * 1024 ** 3;
/** So much may come out of anything. */
const FREE_BYTES = 1024 ** 3;

export type Compression = "none" | "gzip" | "zstd" | "unsupported";

/** Compression of a stream by its first bytes (at least 6). */
export function detectCompression(head: Uint8Array): Compression {
  const hex = Buffer.from(head.subarray(0, 6)).toString("hex");
  if (hex.startsWith("1f8b")) return "gzip";
  if (hex.startsWith("28b52ffd") || /^5.2a4d18/.test(hex)) return "zstd";
  return hex.startsWith("fd377a585a00") || hex.startsWith("425a68") ? "unsupported" : "none";
}

/**
 * Copies a stream, decompressed, into a file without a name: it goes with the descriptor, however the process ends.
 *
 * @returns the descriptor, which the caller closes, and the length
 */
export async function spool(
  path: string,
  source: number,
  options: ArchiveOptions,
): Promise<{ fd: number; length: number }> {
  const { maxBytes: max = MAX_SPOOL_BYTES, maxRatio = Number.POSITIVE_INFINITY, freeBytes = FREE_BYTES } = options;
  mkdirSync(options.spoolDir, { recursive: true, mode: 0o700 });
  const name = join(options.spoolDir, `spool.${process.pid}.${performance.now()}`);
  const fd = openSync(name, "wx+", 0o600);
  unlinkSync(name);
  let length = 0;
  let compressed = 0;
  const count = async function* (body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of body) {
      compressed += chunk.length;
      yield chunk;
    }
  };
  const write = async (body: AsyncIterable<Uint8Array>): Promise<void> => {
    for await (const chunk of body) {
      length += chunk.length;
      if (length > max) throw badArchive(path, `it unpacks to more than the allowed ${max} bytes`);
      if (length > freeBytes && length / compressed > maxRatio)
        throw badArchive(path, `it unpacks to more than ${maxRatio} times its size`);
      for (let done = 0; done < chunk.length; ) done += writeSync(fd, chunk, done);
    }
  };
  try {
    // Whoever shares standard input may have made it non-blocking: only process.stdin waits then.
    const input = source === 0 ? process.stdin : readOpen(source);
    const { head, body } = await peek(input);
    const settings = options.signal === undefined ? {} : { signal: options.signal };
    const decoder = await openDecoder(path, detectCompression(head));
    await (decoder === undefined
      ? pipeline(body, count, write, settings)
      : pipeline(body, count, decoder, write, settings));
    return { fd, length };
  } catch (error) {
    closeSync(fd);
    if (isDecodingError(error)) throw badArchive(path, "its compressed data is damaged or ends too early");
    throw translateWrite(error, name);
  }
}

async function peek(input: AsyncIterable<Buffer>): Promise<{ head: Uint8Array; body: Readable }> {
  const iterator = input[Symbol.asyncIterator]();
  let head: Buffer = Buffer.alloc(0);
  while (head.length < 6) {
    const next = await iterator.next();
    if (next.done) break;
    head = Buffer.concat([head, next.value]);
  }
  const rest = async function* (): AsyncGenerator<Buffer> {
    if (head.length > 0) yield head;
    for (let next = await iterator.next(); !next.done; next = await iterator.next()) yield next.value;
  };
  return { head, body: Readable.from(rest()) };
}

async function openDecoder(path: string, compression: Compression): Promise<Transform | undefined> {
  if (compression === "none") return undefined;
  if (compression === "unsupported")
    throw badArchive(path, "xz and bzip2 are not supported", "unpack it first (xz -d, bunzip2)");
  return compression === "gzip" ? createGunzip() : createZstdDecompress();
}

function isDecodingError(error: unknown): boolean {
  if (error instanceof BerthError || !(error instanceof Error) || !("code" in error)) return false;
  return /^(Z_|ZSTD_)/.test(String(error.code));
}

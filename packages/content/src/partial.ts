import { createHash, type Hash } from "node:crypto";
import { closeSync, fsyncSync, ftruncateSync, openSync, readSync, writeSync } from "node:fs";
import type { Digest, DigestAlgorithm } from "@berth/oci";

const CHUNK = 1024 * 1024;

/** A partial file that is hashed while it grows. */
export class Partial {
  readonly #fd: number;
  readonly #algorithm: DigestAlgorithm;
  #hash: Hash;
  #length = 0;

  /** Opens or creates it, keeping and hashing what an interrupted process left; more than `maxLength` is dropped. */
  constructor(path: string, maxLength: number, algorithm: DigestAlgorithm) {
    this.#algorithm = algorithm;
    this.#hash = createHash(algorithm);
    this.#fd = openSync(path, "a+", 0o600);
    this.#rehash(maxLength);
  }

  get length(): number {
    return this.#length;
  }

  /** Forgets everything from `length` on. */
  truncate(length: number): void {
    this.#rehash(length);
  }

  write(chunk: Uint8Array): void {
    for (let done = 0; done < chunk.length; ) done += writeSync(this.#fd, chunk, done);
    this.#hash.update(chunk);
    this.#length += chunk.length;
  }

  digest(): Digest {
    return `${this.#algorithm}:${this.#hash.copy().digest("hex")}` as Digest;
  }

  sync(): void {
    fsyncSync(this.#fd);
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }

  #rehash(limit: number): void {
    this.#hash = createHash(this.#algorithm);
    this.#length = 0;
    const buffer = Buffer.allocUnsafe(Math.min(CHUNK, Math.max(limit, 1)));
    while (this.#length < limit) {
      const read = readSync(this.#fd, buffer, 0, Math.min(buffer.length, limit - this.#length), this.#length);
      if (read === 0) break;
      this.#hash.update(buffer.subarray(0, read));
      this.#length += read;
    }
    ftruncateSync(this.#fd, this.#length);
  }
}

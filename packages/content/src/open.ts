import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { BerthError, errnoOf } from "@berth/base";
import { type Digest, hexOf } from "@berth/oci";
import type { State } from "@berth/state";
import { digestOf } from "./digest.ts";
import { damaged, digestMismatch, sizeMismatch, translate } from "./errors.ts";
import { removeFile, sizeOf, syncDir } from "./files.ts";
import { Partial } from "./partial.ts";
import * as store from "./store.ts";
import type { Content, IngestOptions } from "./types.ts";

const DAY_MS = 86_400_000;
const MAX_READ_BYTES = 8 * 1024 * 1024;

/**
 * Opens the blobs below `root` (the data root: `content/sha256`, `ingest`). Cheap: directories are made when needed.
 *
 * @param options.state opened with this package's `migrations`
 */
export function openContent(options: { readonly state: State; readonly root: string }): Content {
  return new FileContent(options.state, options.root);
}

class FileContent implements Content {
  readonly #state: State;
  readonly #blobs: string;
  readonly spoolDir: string;
  #temporary = 0;

  constructor(state: State, root: string) {
    this.#state = state;
    this.#blobs = join(root, "content/sha256");
    this.spoolDir = join(root, "ingest");
  }

  path(digest: Digest): string {
    return join(this.#blobs, hexOf(digest));
  }

  has(digest: Digest): boolean {
    const size = store.findSize(this.#state.db, digest);
    return size !== undefined && sizeOf(this.path(digest)) === size;
  }

  async ingest(options: IngestOptions): Promise<void> {
    const { digest } = options;
    if (this.has(digest)) return;
    const wait = { timeoutMs: DAY_MS, ...(options.signal === undefined ? {} : { signal: options.signal }) };
    using _lease = await this.#state.lease(`blob:${digest}`, wait);
    if (this.has(digest)) return;
    using _hold = this.#state.hold([ingestOf(digest)]);
    const partial = join(this.spoolDir, `${hexOf(digest)}.partial`);
    try {
      this.#makeDirs();
      // A file without row was verified by a process that died before it wrote the row: take it as resumable bytes.
      if (existsSync(this.path(digest))) renameSync(this.path(digest), partial);
      await fill(partial, options);
      this.#publish(partial, digest, options.size);
    } catch (error) {
      const known = translate(error, partial);
      if (known instanceof BerthError && (known.code === "DataLoss" || known.code === "ResourceExhausted")) {
        removeFile(partial);
      }
      throw known;
    }
  }

  put(bytes: Uint8Array): Digest {
    const digest = digestOf(bytes);
    if (this.has(digest)) return digest;
    const temporary = join(this.spoolDir, `${hexOf(digest)}.${process.pid}.${this.#temporary++}`);
    try {
      this.#makeDirs();
      const fd = openSync(temporary, "wx", 0o600);
      try {
        writeFileSync(fd, bytes);
        fsyncSync(fd);
      } finally {
        closeSync(fd);
      }
      this.#publish(temporary, digest, bytes.length);
    } catch (error) {
      removeFile(temporary);
      throw translate(error, temporary);
    }
    return digest;
  }

  read(digest: Digest, maxBytes = MAX_READ_BYTES): Buffer {
    const size = store.findSize(this.#state.db, digest);
    if (size === undefined) throw new BerthError("NotFound", `read blob ${digest}: not in the store`);
    if (size > maxBytes) {
      throw new BerthError(
        "ResourceExhausted",
        `read blob ${digest}: ${size} bytes are more than the allowed ${maxBytes}`,
      );
    }
    const path = this.path(digest);
    let bytes: Buffer;
    try {
      bytes = readFileSync(path);
    } catch (error) {
      throw errnoOf(error) === "ENOENT" ? damaged(digest, path, "is missing") : translate(error, path);
    }
    if (digestOf(bytes) !== digest) throw damaged(digest, path, "was changed");
    return bytes;
  }

  list(): readonly { readonly digest: Digest; readonly sizeBytes: number }[] {
    return store.listBlobs(this.#state.db);
  }

  forget(digests: readonly Digest[]): readonly Digest[] {
    return this.#state.transaction(() => {
      const held = this.#state.held();
      const free = digests.filter(
        (digest) => !held.has(digest) && store.findSize(this.#state.db, digest) !== undefined,
      );
      for (const digest of free) store.removeBlob(this.#state.db, digest);
      return free;
    });
  }

  discard(digest: Digest): void {
    this.#state.transaction(() => store.removeBlob(this.#state.db, digest), { durable: true });
    removeFile(this.path(digest));
  }

  sweep(digests: readonly Digest[]): void {
    for (const digest of digests) {
      // The write lock keeps another process from holding the digest between the question and the removal.
      this.#state.transaction(() => {
        if (store.findSize(this.#state.db, digest) !== undefined) return;
        const held = this.#state.held();
        if (!held.has(digest) && !held.has(ingestOf(digest))) removeFile(this.path(digest));
      });
    }
  }

  recover(options: { maxAgeMs?: number } = {}): void {
    const known = new Set(this.list().map((blob) => blob.digest));
    const strays = listFiles(this.#blobs).map((name) => `sha256:${name}` as Digest);
    this.sweep(strays.filter((digest) => !known.has(digest)));
    const before = Date.now() - (options.maxAgeMs ?? DAY_MS);
    for (const name of listFiles(this.spoolDir)) {
      const path = join(this.spoolDir, name);
      const modified = statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Number.POSITIVE_INFINITY;
      if (modified > before) continue;
      this.#state.transaction(() => {
        if (!this.#state.held().has(ingestOf(`sha256:${name.slice(0, 64)}`))) removeFile(path);
      });
    }
  }

  #makeDirs(): void {
    for (const dir of [this.#blobs, this.spoolDir]) {
      if (existsSync(dir)) continue;
      mkdirSync(dir, { recursive: true, mode: 0o700 });
      syncDir(dirname(dir));
    }
  }

  /** Gives verified bytes their name, then their row; under the write lock, so that no sweep comes in between. */
  #publish(file: string, digest: Digest, sizeBytes: number): void {
    this.#state.transaction(() => {
      renameSync(file, this.path(digest));
      syncDir(this.#blobs);
      store.addBlob(this.#state.db, digest, sizeBytes);
    });
  }
}

/** What a process holds while it writes the partial file of this blob. */
const ingestOf = (digest: string): string => `ingest:${digest}`;

function listFiles(dir: string): readonly string[] {
  try {
    return readdirSync(dir);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return [];
    throw error;
  }
}

/** Brings the partial file to the whole, verified, durable blob. */
async function fill(path: string, options: IngestOptions): Promise<void> {
  const { digest, size, signal } = options;
  using file = new Partial(path, size);
  options.onPartial?.(path);
  options.onProgress?.(file.length);
  if (file.length < size || size === 0) {
    const { offset, body } = await options.source(file.length);
    if (offset > file.length) throw sizeMismatch(digest, size, file.length);
    if (offset < file.length) file.truncate(offset);
    for await (const chunk of body) {
      signal?.throwIfAborted();
      if (file.length + chunk.length > size) throw sizeMismatch(digest, size, file.length + chunk.length);
      file.write(chunk);
      options.onProgress?.(file.length);
    }
  }
  if (file.length !== size) throw sizeMismatch(digest, size, file.length);
  const got = file.digest();
  if (got !== digest) throw digestMismatch(digest, got);
  file.sync();
}

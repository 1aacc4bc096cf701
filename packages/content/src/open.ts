import { createHash } from "node:crypto";
import {
  closeSync,
  createReadStream,
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
import { pipeline } from "node:stream/promises";
import { BerthError, errnoOf } from "@berth/base";
import { algorithmOf, type Digest, type DigestAlgorithm, hexOf, isDigest } from "@berth/oci";
import type { State } from "@berth/state";
import { digestOf } from "./digest.ts";
import { damaged, digestMismatch, sizeMismatch, translate } from "./errors.ts";
import { removeFile, sizeOf, syncDir } from "./files.ts";
import { Partial } from "./partial.ts";
import * as store from "./store.ts";
import type { Content, IngestOptions, Upload } from "./types.ts";
import { FileUpload } from "./upload.ts";

const DAY_MS = 86_400_000;
const READ_CHUNK = 1024 * 1024;
const MAX_READ_BYTES = 8 * 1024 * 1024;
const ALGORITHMS: readonly DigestAlgorithm[] = ["sha256", "sha512"];

/**
 * Opens the blobs below `root` (the data root: `content/<algorithm>`, `ingest`). Cheap: directories are made when needed.
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
    this.#blobs = join(root, "content");
    this.spoolDir = join(root, "ingest");
  }

  path(digest: Digest): string {
    return join(this.#blobs, algorithmOf(digest), hexOf(digest));
  }

  has(digest: Digest): boolean {
    return this.sizeOf(digest) !== undefined;
  }

  sizeOf(digest: Digest): number | undefined {
    const size = store.findSize(this.#state.db, digest);
    return size !== undefined && sizeOf(this.path(digest)) === size ? size : undefined;
  }

  async ingest(options: IngestOptions): Promise<void> {
    const { digest } = options;
    if (this.has(digest)) return;
    const wait = { timeoutMs: DAY_MS, ...(options.signal === undefined ? {} : { signal: options.signal }) };
    using _lease = await this.#state.lease(`blob:${digest}`, wait);
    if (this.has(digest)) return;
    using _hold = this.#state.hold([ingestOf(stemOf(digest))]);
    const partial = join(this.spoolDir, `${stemOf(digest)}.partial`);
    try {
      this.#makeDirs(algorithmOf(digest));
      this.#state.transaction(() => {
        // A file without row was verified by a process that died before it wrote the row: take it as resumable bytes.
        const isLeft = store.findSize(this.#state.db, digest) === undefined && existsSync(this.path(digest));
        if (isLeft) renameSync(this.path(digest), partial);
      });
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

  put(bytes: Uint8Array, algorithm: DigestAlgorithm = "sha256"): Digest {
    const digest = digestOf(bytes, algorithm);
    if (this.has(digest)) return digest;
    const temporary = join(this.spoolDir, `${stemOf(digest)}.${process.pid}.${this.#temporary++}`);
    try {
      this.#makeDirs(algorithm);
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

  beginUpload(id: string, algorithm: DigestAlgorithm = "sha256"): Upload {
    const path = this.#uploadPath(id);
    try {
      this.#makeDirs("sha256");
      closeSync(openSync(path, "wx", 0o600));
    } catch (error) {
      throw translate(error, path);
    }
    return this.#openUpload(id, algorithm);
  }

  findUpload(id: string): Upload | undefined {
    return existsSync(this.#uploadPath(id)) ? this.#openUpload(id, "sha256") : undefined;
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
    if (digestOf(bytes, algorithmOf(digest)) !== digest) throw damaged(digest, path, "was changed");
    return bytes;
  }

  list(): readonly { readonly digest: Digest; readonly sizeBytes: number }[] {
    return store.listBlobs(this.#state.db);
  }

  async verify(digest: Digest): Promise<string | undefined> {
    const why = await this.#faultOf(digest);
    return store.findSize(this.#state.db, digest) === undefined ? undefined : why;
  }

  async #faultOf(digest: Digest): Promise<string | undefined> {
    const path = this.path(digest);
    const want = store.findSize(this.#state.db, digest);
    const size = sizeOf(path);
    if (size === undefined) return `${path} is missing`;
    if (size !== want) return `${path} has ${size} bytes, not ${want}`;
    const hash = createHash(algorithmOf(digest));
    try {
      await pipeline(createReadStream(path, { highWaterMark: READ_CHUNK }), hash);
    } catch (error) {
      const errno = errnoOf(error);
      if (errno === "EIO") return `${path} cannot be read (${errno})`;
      throw translate(error, path);
    }
    const got = `${algorithmOf(digest)}:${hash.digest("hex")}`;
    return got === digest ? undefined : `${path} has digest ${got}`;
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
        if (!held.has(digest) && !held.has(ingestOf(stemOf(digest)))) removeFile(this.path(digest));
      });
    }
  }

  recover(options: { maxAgeMs?: number } = {}): void {
    const known = new Set(this.list().map((blob) => blob.digest));
    const files = ALGORITHMS.flatMap((name) => listFiles(join(this.#blobs, name)).map((hex) => `${name}:${hex}`));
    this.sweep(files.filter(isDigest).filter((digest) => !known.has(digest)));
    const before = Date.now() - (options.maxAgeMs ?? DAY_MS);
    for (const name of listFiles(this.spoolDir)) {
      const path = join(this.spoolDir, name);
      const modified = statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Number.POSITIVE_INFINITY;
      if (modified > before) continue;
      this.#state.transaction(() => {
        if (!this.#state.held().has(ingestOf(name.split(".")[0] ?? ""))) removeFile(path);
      });
    }
  }

  #uploadPath(id: string): string {
    return join(this.spoolDir, `upload-${id}`);
  }

  #openUpload(id: string, algorithm: DigestAlgorithm): Upload {
    const publish = (file: string, digest: Digest, sizeBytes: number, record: () => void): void => {
      this.#makeDirs(algorithmOf(digest));
      const write = (): void => {
        this.#publish(file, digest, sizeBytes);
        record();
      };
      this.#state.transaction(write, { durable: true });
    };
    const hold = this.#state.hold([ingestOf(`upload-${id}`)]);
    return new FileUpload(this.#uploadPath(id), { publish, hold }, algorithm);
  }

  #makeDirs(algorithm: DigestAlgorithm): void {
    for (const dir of [join(this.#blobs, algorithm), this.spoolDir]) {
      if (existsSync(dir)) continue;
      mkdirSync(dir, { recursive: true, mode: 0o700 });
      syncDir(dirname(dir));
    }
  }

  /** Gives verified bytes their name, then their row; under the write lock, so that no sweep comes in between. */
  #publish(file: string, digest: Digest, sizeBytes: number): void {
    this.#state.transaction(() => {
      renameSync(file, this.path(digest));
      syncDir(dirname(this.path(digest)));
      store.addBlob(this.#state.db, digest, sizeBytes);
    });
  }
}

/** What the names of a blob's temporary files begin with, up to the first dot. */
const stemOf = (digest: Digest): string => digest.replace(":", "-");

/** What a process holds while it writes the temporary files whose names begin so. */
const ingestOf = (stem: string): string => `ingest:${stem}`;

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
  using file = new Partial(path, size, algorithmOf(digest));
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

import { createHash, type Hash } from "node:crypto";
import { createReadStream, statSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { algorithmOf, type Digest, type DigestAlgorithm } from "@berth/oci";
import { digestMismatch, translate } from "./errors.ts";
import { removeFile } from "./files.ts";
import type { Upload } from "./types.ts";

/** What an upload needs of its store. */
export interface UploadHost {
  /** Gives verified bytes their name and row, and calls `record` in the same transaction. */
  readonly publish: (file: string, digest: Digest, sizeBytes: number, record: () => void) => void;
  /** Keeps garbage collection away from the file. */
  readonly hold: Disposable;
}

/** A file that is hashed while it grows; one that another process left is hashed again when its digest is asked for. */
export class FileUpload implements Upload {
  readonly #path: string;
  readonly #host: UploadHost;
  readonly #algorithm: DigestAlgorithm;
  readonly #hash: Hash | undefined;
  #length: number;
  #handle: FileHandle | undefined;

  constructor(path: string, host: UploadHost, algorithm: DigestAlgorithm) {
    this.#path = path;
    this.#host = host;
    this.#algorithm = algorithm;
    this.#length = statSync(path).size;
    this.#hash = this.#length === 0 ? createHash(algorithm) : undefined;
  }

  get length(): number {
    return this.#length;
  }

  async append(body: AsyncIterable<Uint8Array>): Promise<void> {
    try {
      this.#handle ??= await open(this.#path, "r+");
      for await (const chunk of body) {
        for (let done = 0; done < chunk.length; ) {
          const { bytesWritten } = await this.#handle.write(chunk, done, chunk.length - done, this.#length + done);
          done += bytesWritten;
        }
        this.#hash?.update(chunk);
        this.#length += chunk.length;
      }
    } catch (error) {
      throw translate(error, this.#path);
    }
  }

  async commit(digest: Digest, record: () => void = () => {}): Promise<void> {
    const got = await this.#digest(algorithmOf(digest));
    if (got !== digest) {
      await this.remove();
      throw digestMismatch(digest, got);
    }
    try {
      this.#handle ??= await open(this.#path, "r+");
      await this.#handle.sync();
      this.#host.publish(this.#path, digest, this.#length, record);
    } catch (error) {
      throw translate(error, this.#path);
    }
    await this.close();
  }

  async remove(): Promise<void> {
    removeFile(this.#path);
    await this.close();
  }

  async close(): Promise<void> {
    this.#host.hold[Symbol.dispose]();
    const handle = this.#handle;
    this.#handle = undefined;
    await handle?.close();
  }

  async #digest(algorithm: DigestAlgorithm): Promise<Digest> {
    if (this.#hash !== undefined && algorithm === this.#algorithm) {
      return `${algorithm}:${this.#hash.copy().digest("hex")}` as Digest;
    }
    const hash = createHash(algorithm);
    const written = createReadStream(this.#path, { highWaterMark: 1024 * 1024 });
    for await (const chunk of written as AsyncIterable<Buffer>) hash.update(chunk);
    return `${algorithm}:${hash.digest("hex")}` as Digest;
  }
}

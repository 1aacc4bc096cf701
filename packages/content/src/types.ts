import type { Digest, DigestAlgorithm } from "@berth/oci";

/** Bytes to put into the store: where they come from and what they must be. */
export interface IngestOptions {
  readonly digest: Digest;
  /** Exact length, bytes. */
  readonly size: number;
  /**
   * The bytes from `offset` on (0, or what an interrupted ingest left). It may answer with an earlier `offset` when the
   * source cannot resume: the rest of the file is then written again.
   */
  readonly source: (offset: number) => Promise<{ readonly offset: number; readonly body: AsyncIterable<Uint8Array> }>;
  readonly onProgress?: ((doneBytes: number) => void) | undefined;
  /** Called when this process has begun to write; `path` grows until the ingest ends. */
  readonly onPartial?: ((path: string) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Bytes that arrive in pieces and whose digest is told last. What it has got survives the process, for about a day. */
export interface Upload {
  /** Bytes that are there. */
  readonly length: number;
  /** Writes and hashes as the bytes arrive; when the source breaks, what has arrived stays. One call at a time. */
  append(body: AsyncIterable<Uint8Array>): Promise<void>;
  /**
   * Verifies the digest and makes the bytes a blob; `record` is called in the transaction that does.
   *
   * @throws {BerthError} DataLoss when the digest is another one: the upload is gone then; ResourceExhausted
   */
  commit(digest: Digest, record?: () => void): Promise<void>;
  /** Removes what has arrived. */
  remove(): Promise<void>;
  /** Frees what this process needs for it; it can be found again. */
  close(): Promise<void>;
}

/** Blobs by digest. Safe beside other processes on the same store. */
export interface Content {
  /** Absolute path of the directory for temporary files; what stays there by accident is removed by `recover`. */
  readonly spoolDir: string;
  /** Absolute path of the blob, whether or not it is there. */
  path(digest: Digest): string;
  has(digest: Digest): boolean;
  /** Bytes of the blob; undefined when it is not there. */
  sizeOf(digest: Digest): number | undefined;
  /**
   * Stores the bytes after verifying length and digest while writing. Does nothing when the blob is there; waits when
   * another process is fetching it.
   *
   * @throws {BerthError} DataLoss (wrong or missing bytes; nothing stays), ResourceExhausted (disk full), or the source's
   */
  ingest(options: IngestOptions): Promise<void>;
  /** Stores small bytes at hand; returns their digest. */
  put(bytes: Uint8Array, algorithm?: DigestAlgorithm): Digest;
  /**
   * @param id of the caller's choice, unique: letters, digits and dashes
   * @param algorithm of the digest that will be told; another one costs reading the bytes again
   */
  beginUpload(id: string, algorithm?: DigestAlgorithm): Upload;
  /** An upload that was begun and neither committed nor removed, perhaps by another process. */
  findUpload(id: string): Upload | undefined;
  /**
   * The whole blob, at most `maxBytes` (default 8 MiB).
   *
   * @throws {BerthError} NotFound; DataLoss when the file is missing or its bytes have another digest
   */
  read(digest: Digest, maxBytes?: number): Buffer;
  list(): readonly { readonly digest: Digest; readonly sizeBytes: number }[];
  /** Reads the whole blob; says what is wrong with it, undefined when nothing is or it was removed meanwhile. */
  verify(digest: Digest): Promise<string | undefined>;
  /**
   * Drops the rows of blobs that nobody holds (`State.hold`) and returns which; call it in the transaction that finds
   * them unused. Their files go by `sweep` after it.
   */
  forget(digests: readonly Digest[]): readonly Digest[];
  /** Removes a blob whose bytes were found damaged, held or not. */
  discard(digest: Digest): void;
  /** Removes the files of blobs that have no row and that nobody holds. Idempotent. */
  sweep(digests: readonly Digest[]): void;
  /**
   * Removes files without row, and partial files that no living process writes to and that are older than `maxAgeMs`
   * (default one day: until then a new ingest resumes them). Safe beside running ingests.
   */
  recover(options?: { readonly maxAgeMs?: number }): void;
}

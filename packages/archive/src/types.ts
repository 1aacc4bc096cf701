/** Files of a directory or tar archive, read at random by the name of the member. */
export interface Archive extends Disposable {
  /** For messages: the path that was opened. */
  readonly path: string;
  /** Size of a regular member, bytes; undefined when there is none of this name. */
  size(name: string): number | undefined;
  /**
   * The member's bytes from `offset` on.
   *
   * @throws {BerthError} NotFound; DataLoss when the file is shorter than its archive says
   */
  read(name: string, offset?: number): AsyncIterable<Uint8Array>;
  /**
   * The whole member.
   *
   * @throws {BerthError} as `read`; ResourceExhausted when it is longer than `maxBytes`
   */
  readAll(name: string, maxBytes: number): Buffer;
}

export interface ArchiveOptions {
  /** Directory for the unpacked copy of a compressed or unseekable archive; nothing stays there. */
  readonly spoolDir: string;
  /** Longest archive after decompression, bytes; default 64 GiB. */
  readonly maxBytes?: number;
  /** Bytes that may come out of each byte of a compressed one, past the first `freeBytes`; default: any. */
  readonly maxRatio?: number;
  /** Default 1 GiB. */
  readonly freeBytes?: number;
  readonly signal?: AbortSignal | undefined;
}

/** A member of a tar archive. */
export type TarMember =
  | { readonly kind: "file"; readonly name: string; readonly offset: number; readonly size: number }
  /** A symbolic or hard link; `target` is the name of another member. */
  | { readonly kind: "link"; readonly name: string; readonly target: string }
  | { readonly kind: "other"; readonly name: string };

/** A file of an archive that is written. */
export interface NewMember {
  /** Relative, with `/`; at most 100 bytes. */
  readonly name: string;
  readonly size: number;
  /** Exactly `size` bytes. */
  readonly body: () => Iterable<Uint8Array> | AsyncIterable<Uint8Array>;
}

import type { Digest } from "@berth/oci";

/** Where the documents and blobs of one image come from. Nothing of it is trusted. */
export interface Source {
  /** For messages: the image as the user named it. */
  readonly what: string;
  /** A manifest or index by digest. */
  fetchManifest(
    digest: Digest,
    signal: AbortSignal,
  ): Promise<{ readonly bytes: Buffer; readonly contentType?: string }>;
  /** A blob's bytes from `offset` on. A chunk lasts until the next one is asked for: its memory may be used again. */
  fetchBlob(digest: Digest, offset: number, signal: AbortSignal): AsyncIterable<Uint8Array>;
}

/** A manifest or index that a source named first. */
export interface Root {
  readonly bytes: Buffer;
  readonly contentType?: string;
  /** Of `bytes`; default: its sha-256. */
  readonly digest?: Digest;
}

/**
 * Steps that `keel host` reads as a JSON array on stdin and does in order: the engine's only way to privileged
 * system calls. The answer on stdout is one JSON object: {@link HostReply}.
 */
export type HostStep =
  | { readonly op: "mount"; readonly type: string; readonly source: string; readonly target: string; readonly options: readonly string[] }
  /** Lazy unmount of everything stacked on `target`; not mounted is no error. */
  | { readonly op: "umount"; readonly target: string }
  | { readonly op: "netns-add"; readonly path: string }
  /** Unmount and unlink; absent is no error. */
  | { readonly op: "netns-remove"; readonly path: string }
  /** Bring `lo` up in the namespace at `path`. */
  | { readonly op: "loopback-up"; readonly path: string };

export type HostReply =
  | { readonly ok: true }
  | { readonly ok: false; readonly index: number; readonly error: import("./errors.ts").WireError };

/** What `keel unpack` prints on stdout as one JSON object when a layer is applied. */
export interface UnpackResult {
  /** `sha256:<hex>` of the uncompressed tar stream. */
  readonly diffId: string;
  /** `sha256:<hex>` of the bytes read (compressed). */
  readonly digest: string;
  /** Bytes read. */
  readonly compressedBytes: number;
  /** Bytes of the uncompressed tar stream. */
  readonly tarBytes: number;
  readonly entries: number;
}

/** A range of ids, as config.json has it. */
export interface IdRange {
  readonly containerID: number;
  readonly hostID: number;
  readonly size: number;
}

/** What owners a mount shows: an id in `containerID`'s range on disk is the one in `hostID`'s. */
export interface MountIdMap {
  readonly uid: readonly IdRange[];
  readonly gid: readonly IdRange[];
  /** Which lower directories of an overlay: all of them, or the first only. */
  readonly layers: "all" | "top";
}

/** A new user namespace, kept at `path`, that owns the network namespace. */
export interface UserNamespace {
  readonly path: string;
  readonly uid: readonly IdRange[];
  readonly gid: readonly IdRange[];
}

/**
 * Steps that `keel host` reads as a JSON array on stdin and does in order: the engine's only way to privileged
 * system calls. The answer on stdout is one JSON object: {@link HostReply}.
 */
export type HostStep =
  | {
      readonly op: "mount";
      readonly type: string;
      readonly source: string;
      readonly target: string;
      readonly options: readonly string[];
      /** Of a `bind`, or of an `overlay`'s lower directories. */
      readonly idmap?: MountIdMap | undefined;
    }
  /** Lazy unmount of everything stacked on `target`; not mounted is no error. */
  | { readonly op: "umount"; readonly target: string }
  | { readonly op: "netns-add"; readonly path: string; readonly userns?: UserNamespace | undefined }
  /** Unmount and unlink; absent is no error. */
  | { readonly op: "netns-remove"; readonly path: string }
  /** Bring `lo` up in the namespace at `path`. */
  | { readonly op: "loopback-up"; readonly path: string }
  /**
   * Text of the regular file `path` below the directory `root`, resolved by openat2 with RESOLVE_IN_ROOT and
   * RESOLVE_NO_MAGICLINKS (a running container may change links meanwhile), at most `maxBytes` (else -EFBIG). Opened
   * non-blocking; anything but a regular file is an error; absent is null. Answered in `texts`.
   */
  | { readonly op: "read-file"; readonly root: string; readonly path: string; readonly maxBytes: number };

export type HostReply =
  /** `texts`: one for each `read-file` step, in order; left out when there was none. */
  | { readonly ok: true; readonly texts?: readonly (string | null)[] }
  | { readonly ok: false; readonly index: number; readonly error: import("./errors.ts").WireError };

/** What `keel probe` prints on stdout as one JSON object: "" for what works here, else why it does not. */
export interface LayerProbe {
  readonly overlayfs: string;
  readonly fuse: string;
  /** Layers of an overlay can show other owners. */
  readonly idmap: string;
}

/** What `keel unpack` prints on stdout as one JSON object when a layer is applied. */
export interface UnpackResult {
  /** `sha256:<hex>` of the uncompressed tar stream. */
  readonly diffId: string;
  /** `sha256:<hex>` of the bytes read (compressed); undefined of a file that grew (`--growing`): its writer has taken it. */
  readonly digest: string | undefined;
  /** Bytes read. */
  readonly compressedBytes: number;
  /** Bytes of the uncompressed tar stream. */
  readonly tarBytes: number;
  readonly entries: number;
}

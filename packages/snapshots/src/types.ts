import type { Digest } from "@berth/oci";
import type { IdRange, MountIdMap } from "@berth/protocol";

export type { IdRange, LayerProbe } from "@berth/protocol";

/** A mount as data; options are fstab-style. The same shape as the monitor's and keel host's mounts. */
export interface SnapshotMount {
  readonly type: string;
  readonly source: string;
  readonly options: readonly string[];
  readonly idmap?: MountIdMap | undefined;
}

/** A way to show layers as one tree. `native` copies them, sharing blocks where the file system can. */
export type Driver = "overlayfs" | "fuse-overlayfs" | "native";

/** What the configuration may ask for. */
export type Wanted = Driver | "auto";

/** The way that new snapshots take. */
export interface Choice {
  readonly driver: Driver;
  /** Why this one. */
  readonly reason: string;
  /** Layers can be shown with other owners without a copy; else why not. */
  readonly idmap: string;
  /** Of its mounts, besides their directories. */
  readonly options: readonly string[];
}

/** The ids of a user namespace: `containerID` in it is `hostID` outside. */
export interface IdMap {
  readonly uid: readonly IdRange[];
  readonly gid: readonly IdRange[];
}

/** What a layer does to a path of those below it: adds, changes or deletes it. */
export interface Change {
  readonly kind: "A" | "C" | "D";
  readonly path: string;
}

export interface PrepareOptions {
  /** It shows its parent, and cannot be written to. */
  readonly readOnly?: boolean | undefined;
  /** It goes with whoever mounts it, and is mounted once: nothing of it need reach the disk. */
  readonly volatile?: boolean | undefined;
  /** For a container in a user namespace: owners of the layers' files are shown by this mapping. */
  readonly ids?: IdMap | undefined;
}

/**
 * Layer storage. A committed snapshot is named by its chain id and immutable; a container's writable one by its key.
 * Directories: `snapshots/<n>/{fs,work}`, the database is the index (design.md section 5).
 */
export interface Snapshots {
  has(chainId: Digest): boolean;
  /** Chain ids of all committed layers. */
  listLayers(): readonly Digest[];
  /**
   * Unpacks one layer on top of `parent` (undefined: first layer): runs `apply` with a fresh directory's mounts, then
   * commits under `chainId`. A crash at any point leaves an uncommitted directory that `recover` removes.
   * When another process commits the same chain id meanwhile, that one is used. The parent may be one that this process
   * is unpacking too, whose `apply` was called: then `parentDone` says when it is committed, or throws that it will not be.
   */
  commitLayer(options: {
    readonly chainId: Digest;
    readonly parent: Digest | undefined;
    /** Absolute paths: `upper` to write into, `lowers` top first (empty for the first layer), `work` for overlayfs. */
    readonly apply: (dirs: {
      readonly upper: string;
      readonly work: string;
      readonly lowers: readonly string[];
    }) => Promise<void>;
    readonly parentDone?: (() => Promise<void>) | undefined;
    readonly signal?: AbortSignal | undefined;
  }): Promise<void>;
  /** How new snapshots will be shown here. */
  choice(): Promise<Choice>;
  /** Makes (or finds) the writable snapshot `key` on `parent`. Nothing is mounted; with the native way layers are copied. */
  prepare(key: string, parent: Digest | undefined, options?: PrepareOptions): Promise<void>;
  /**
   * The mount of a prepared snapshot.
   *
   * @throws {BerthError} NotFound
   */
  mount(key: string): SnapshotMount;
  /** Keys of prepared snapshots that begin so. */
  listKeys(prefix: string): readonly string[];
  /**
   * A read-only mount of what the writable snapshot shows; nothing may write to it meanwhile.
   *
   * @throws {BerthError} NotFound
   */
  view(key: string): SnapshotMount;
  /**
   * A read-only mount of what the writable snapshot stands on, with the owners that its layers have; where they were copied,
   * as {@link view}.
   *
   * @throws {BerthError} NotFound
   */
  viewBelow(key: string): SnapshotMount;
  /** Idempotent. Must not be mounted any more. */
  remove(key: string): Promise<void>;
  /** @throws FailedPrecondition when another snapshot stands on it or a process holds it. Idempotent when absent. */
  removeLayer(chainId: Digest): Promise<void>;
  /**
   * Drops the rows of those layers on which nothing stands and that nobody holds (`State.hold`), children before parents
   * whatever their order here, and returns which; call it in the transaction that finds them unused. Their directories
   * go by `recover` after it.
   */
  forgetLayers(chainIds: readonly Digest[]): readonly Digest[];
  /** The layer below; undefined for a first layer, null when the layer itself is not there. */
  parentOf(chainId: Digest): Digest | undefined | null;
  /** What has lost its directory: layers by chain id, writable snapshots by key. */
  verify(): readonly { readonly kind: "layer" | "writable"; readonly name: string; readonly why: string }[];
  /**
   * Forgets a broken layer with all layers that stand on it; their directories go by `recover`.
   *
   * @returns false, and nothing is done, if a writable snapshot stands on one of them or a process holds one
   */
  dropLayer(chainId: Digest): boolean;
  /** What the layer changes of those below it, sorted by path. */
  diff(chainId: Digest): Promise<readonly Change[]>;
  /** Bytes in the unpacked layer; 0 if it is not there. */
  measure(chainId: Digest): Promise<number>;
  /** Bytes in the writable layer of `key`. */
  usage(key: string): Promise<number>;
  /** Removes directories without a row and rows that never committed. Safe beside running unpacks of live processes. */
  recover(): Promise<void>;
}

/** A volume: a directory of the host that outlives containers. */
export interface Volume {
  readonly name: string;
  /** Host path of its content: `<root>/volumes/<name>/_data`. */
  readonly path: string;
  /** Container that an anonymous volume was made for; undefined for named ones. */
  readonly containerId: string | undefined;
  readonly createdAtMs: number;
  /**
   * Owners on the disk are the host's ids of a container in a user namespace, which filled it where its file system could
   * not be id-mapped. Else they are ids as containers see them.
   */
  readonly hasHostIds: boolean;
}

/**
 * The volumes of one data root. Safe beside other processes. A volume is seen only when its directory is durable; a
 * directory without a row is garbage that `recover` removes.
 */
export interface Volumes {
  /**
   * Finds or makes the named volume. Synchronous, so that a container's row and its volumes can be written in one
   * `State.transaction` (which must be `durable`: a directory whose row is lost in a power cut is garbage).
   *
   * @throws {BerthError} InvalidArgument if docker would not take the name
   */
  ensure(name: string): Volume;
  /** Makes a volume with a random name of 64 hex digits that belongs to one container. */
  createAnonymous(containerId: string): Volume;
  find(name: string): Volume | undefined;
  /** @throws {BerthError} NotFound */
  get(name: string): Volume;
  /** By name. */
  list(): readonly Volume[];
  /** The anonymous volumes that were made for a container. */
  listOf(containerId: string): readonly Volume[];
  /**
   * Removes a volume with its content; absent is no error.
   *
   * @param usersOf names of the containers that mount it; called in the removing transaction
   * @throws {BerthError} FailedPrecondition if there are any
   */
  remove(name: string, usersOf: (name: string) => readonly string[]): Promise<void>;
  /**
   * Docker's copy-up: if the volume is empty and the image has a directory at `target`, its content, owner and mode go
   * into the volume. Cut off in the middle, it is done again by the next call. One process at a time does it.
   *
   * @param rootfs absolute host path of the container's mounted root; nothing runs in it yet
   * @param target absolute path in the container
   */
  populate(name: string, rootfs: string, target: string, signal?: AbortSignal): Promise<void>;
  /** Whether nothing is in it, or what a copy that was cut off has left. */
  isNew(name: string): boolean;
  /**
   * Says whose ids a new volume will hold (see {@link Volume.hasHostIds}), before they are written; of one with content
   * nothing changes.
   */
  noteHostIds(name: string, hostIds: boolean): void;
  /** Removes directories that belong to no volume. */
  recover(): Promise<void>;
}

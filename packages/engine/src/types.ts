import type { BerthError } from "@berth/base";
import type { BoundPort, ContainerMount, ContainerRecord, ContainerSpec, ContainerStatus } from "@berth/containers";
import type {
  Checked,
  CheckOptions,
  Image,
  ImagePushOptions,
  ImageSummary,
  ImportOptions,
  PullOptions,
  SaveOptions,
  SaveTarget,
} from "@berth/images";
import type { ExitRecord } from "@berth/protocol";
import type { Pushed, Remotes } from "@berth/remotes";
import type { Repositories } from "@berth/repositories";
import type { Change } from "@berth/snapshots";

/** When an image is pulled. `newer`: as `always`, but what is here will do when no registry can be reached. */
export type PullPolicy = "always" | "missing" | "newer" | "never";

export interface ObtainOptions extends PullOptions {
  readonly pull: PullPolicy;
  /** Told why `newer` made do with what is here. */
  readonly onUnreachable?: ((error: BerthError) => void) | undefined;
}

export interface CreateOptions extends ObtainOptions {
  /** This caller starts it at once: if it dies before, nothing of the container is left. */
  readonly own?: boolean | undefined;
}

/** A container with its present state. */
export interface Container extends ContainerRecord {
  readonly status: ContainerStatus;
  /** Host's pid of the first process; 0 when none. */
  readonly pid: number;
  /** RFC 3339, UTC; empty when never. */
  readonly startedAt: string;
  readonly finishedAt: string;
  /** Of the last run; 0 before the first. */
  readonly exitCode: number;
  readonly oomKilled: boolean;
  /** Why the last start failed; empty when it did not. */
  readonly error: string;
  /** The whole command line: entrypoint and arguments. */
  readonly args: readonly string[];
  readonly ports: readonly BoundPort[];
  readonly network: ContainerNetwork;
  readonly logPath: string;
  readonly mounts: readonly ContainerMount[];
}

export interface ContainerNetwork {
  /** Empty when the container has no address now. */
  readonly ipAddress: string;
  readonly prefixLength: number;
  readonly gateway: string;
  readonly macAddress: string;
}

/** A live connection to a container's stdio. Output arrives through the callbacks of {@link AttachIo}. */
export interface Attachment {
  /** Bytes for the container's stdin; resolves when they may be followed by more. */
  write(data: Uint8Array): Promise<void>;
  endInput(): void;
  resize(rows: number, columns: number): void;
  /** To the container's first process. */
  signal(signal: number): void;
  /** Resolves after the last output with how the container ended. Rejects if its monitor dies. */
  readonly exit: Promise<ExitRecord>;
  /** Leaves; the container goes on. */
  close(): void;
}

export interface AttachIo {
  readonly stdin: boolean;
  /** Nothing more is read from the container until a returned promise resolves: a slow reader slows the program. */
  readonly onStdout?: ((data: Uint8Array) => void | Promise<void>) | undefined;
  readonly onStderr?: ((data: Uint8Array) => void | Promise<void>) | undefined;
  /** Set before the program starts, so that it sees the right size at once. */
  readonly size?: { readonly rows: number; readonly columns: number } | undefined;
}

export interface ExecOptions {
  readonly command: readonly string[];
  readonly env: readonly string[];
  readonly user?: string | undefined;
  readonly workdir?: string | undefined;
  readonly terminal: boolean;
  readonly stdin: boolean;
  readonly detach: boolean;
  readonly privileged: boolean;
}

export interface LogOptions {
  readonly follow: boolean;
  /** Last lines only; undefined: all. */
  readonly tail?: number | undefined;
  /** Unix time, ms. */
  readonly sinceMs?: number | undefined;
  readonly untilMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A part of a line ends without a line feed. `timestamp` is RFC 3339 with nanoseconds. */
export interface LogEntry {
  readonly timestamp: string;
  readonly stream: "stdout" | "stderr";
  /** With its line feed when the line is whole. */
  readonly data: Buffer;
}

export interface ListOptions {
  /** Stopped ones too. */
  readonly all: boolean;
}

/** An image whose file system is mounted. */
export interface MountedImage {
  readonly image: Image;
  /** Absolute; read-only. */
  readonly path: string;
}

export interface EngineInfo {
  readonly version: string;
  readonly containers: { readonly total: number; readonly running: number; readonly stopped: number };
  readonly images: number;
  readonly root: string;
  readonly runRoot: string;
  readonly storage: {
    /** How layers are shown as one tree: `overlayfs`, `fuse-overlayfs` or `native`. */
    readonly driver: string;
    /** Why this one. */
    readonly reason: string;
    /** "": layers can be shown with other owners without a copy; else why not. */
    readonly idmap: string;
  };
  readonly runtime: string;
  readonly cgroupVersion: "1" | "2" | "hybrid";
  readonly cgroupDriver: string;
  readonly securityOptions: readonly string[];
  readonly kernel: string;
  readonly operatingSystem: string;
  readonly architecture: string;
  readonly cpus: number;
  readonly memoryBytes: number;
  readonly hostname: string;
  readonly cniPlugins: string;
  /** What this host lacks and what follows from it. */
  readonly warnings: readonly string[];
}

/** One step of how an image was made. */
export interface HistoryEntry {
  /** RFC 3339; may be empty. */
  readonly created: string;
  readonly createdBy: string;
  readonly comment: string;
  /** Of its unpacked layer; 0 if it made none. */
  readonly sizeBytes: number;
}

/** Where an exported file system goes. A file appears when it is whole. */
export type ExportTarget =
  | { readonly kind: "file"; readonly path: string }
  | { readonly kind: "stream"; readonly write: (data: Uint8Array) => Promise<void> };

/** What is on the disk, bytes. */
export interface DiskUsage {
  readonly images: readonly {
    readonly image: ImageSummary;
    /** Unpacked layers and blobs. */
    readonly sizeBytes: number;
    /** What other images have too. */
    readonly sharedBytes: number;
    readonly uniqueBytes: number;
    readonly containers: number;
  }[];
  /** Of all images, what they share counted once. */
  readonly imageBytes: number;
  /** What no image with a container needs. */
  readonly reclaimableImageBytes: number;
  readonly containers: readonly { readonly container: Container; readonly sizeBytes: number }[];
  readonly volumes: readonly { readonly name: string; readonly links: number; readonly sizeBytes: number }[];
}

export interface Pruned {
  /** Ids or names. */
  readonly removed: readonly string[];
  readonly reclaimedBytes: number;
}

export interface PruneImageOptions {
  /** Named ones too. */
  readonly all: boolean;
  readonly fits: (image: Image) => boolean;
}

/**
 * All of Berth's use-cases on one data root; the only door for the CLI and the servers. Every method is safe beside
 * other processes on the same root. `ref` is a container's name, id or unique id prefix. Methods throw BerthError.
 */
export interface Engine extends AsyncDisposable {
  /** Policy: `always`, unless another is given. */
  pull(ref: string, options?: Partial<ObtainOptions>): Promise<Image>;
  /** Uploads an image under its name, or all images of its repository. */
  push(ref: string, options?: ImagePushOptions): Promise<readonly Pushed[]>;
  /** Gives an image another name. */
  tag(source: string, name: string): void;
  load(path: string, options?: PullOptions): Promise<readonly Image[]>;
  /** Writes images as an OCI layout or an archive. */
  save(refs: readonly string[], target: SaveTarget, options?: SaveOptions): Promise<void>;
  /** Makes an image of one layer from a root file system in a tar. */
  import(path: string, name: string | undefined, options: ImportOptions): Promise<Image>;
  /** Writes a container's file system as a tar, without what is mounted in it. */
  export(ref: string, target: ExportTarget, signal?: AbortSignal): Promise<void>;
  images(): readonly ImageSummary[];
  wholeImages(): readonly Image[];
  image(ref: string): Image;
  findImage(ref: string): Image | undefined;
  removeImage(
    ref: string,
    options?: { readonly force?: boolean },
  ): Promise<{ readonly untagged: readonly string[]; readonly deleted: readonly string[] }>;
  /** Takes names from an image, all of them when none are given; returns them. */
  untag(ref: string, names: readonly string[]): readonly string[];
  /** What the image's top layer changes of those below it, sorted by path. */
  diffImage(ref: string): Promise<readonly Change[]>;
  /** Shows the image's file system, read-only, until `unmountImage` or a reboot; the image cannot be removed meanwhile. */
  mountImage(ref: string): Promise<MountedImage>;
  /** @throws {BerthError} FailedPrecondition if it is not mounted */
  unmountImage(ref: string): Promise<Image>;
  mountedImages(): Promise<readonly MountedImage[]>;
  history(ref: string): Promise<readonly HistoryEntry[]>;
  /** Verifies every digest, parent link and reference of the store. */
  check(options: CheckOptions): Promise<Checked>;
  diskUsage(): Promise<DiskUsage>;
  pruneImages(options: PruneImageOptions): Promise<Pruned & { readonly untagged: readonly string[] }>;
  pruneContainers(fits: (container: Container) => boolean): Promise<Pruned>;
  /** Of volumes that were made for one container and that no container mounts. */
  pruneVolumes(): Promise<Pruned>;
  /** Registries, by name. */
  readonly remotes: Remotes;
  /** What this data root serves to others as a registry. */
  readonly repositories: Repositories;
  /** Removes blobs and layers that neither images nor repositories need. */
  collect(): Promise<void>;

  /** @returns the id */
  create(spec: ContainerSpec, options: CreateOptions): Promise<string>;
  /**
   * Starts a created or exited container.
   *
   * @param io attaches before the first byte of output
   * @param own this caller cleans up after the exit (`finish`), as long as it lives
   */
  start(ref: string, options?: { readonly io?: AttachIo; readonly own?: boolean }): Promise<Attachment | undefined>;
  /** After the exit of a container that was started with `own`: network, mounts, and the container itself if it is to go. */
  finish(ref: string): Promise<void>;
  attach(ref: string, io: AttachIo): Promise<Attachment>;
  /** Ends with the program's exit code; stdio is this process's own. For `detach`: 0 at once. */
  exec(ref: string, options: ExecOptions): Promise<number>;
  list(options: ListOptions): Promise<readonly Container[]>;
  get(ref: string): Promise<Container>;
  /** Waits until it is not running; returns its exit code. */
  wait(ref: string, options?: { readonly signal?: AbortSignal }): Promise<number>;
  /** Sends the stop signal, and SIGKILL after the time-out (seconds; undefined: the container's own, -1: never). */
  stop(
    ref: string,
    options?: { readonly timeout?: number | undefined; readonly stopSignal?: string | undefined },
  ): Promise<void>;
  /** @param signal name with or without SIG, or number; undefined: KILL */
  kill(ref: string, signal?: string): Promise<void>;
  /** @param options.volumes its anonymous volumes too */
  remove(ref: string, options?: { readonly force?: boolean; readonly volumes?: boolean }): Promise<void>;
  logs(ref: string, options: LogOptions): AsyncIterable<LogEntry>;
  info(): Promise<EngineInfo>;
}

import type { Descriptor, Digest, ImageConfig } from "@berth/oci";
import type { Pushed, PushOptions } from "@berth/remotes";

/** What a list shows of an image. */
export interface ImageSummary {
  /** Digest of the config blob: what docker prints as IMAGE ID. */
  readonly id: Digest;
  /** Fully qualified names with tag, for example `docker.io/library/alpine:3.22`. */
  readonly names: readonly string[];
  /** `repository@sha256:…` of the manifest or index the names were pulled by. */
  readonly repoDigests: readonly string[];
  readonly manifest: Descriptor;
  /** Chain id of the top layer: the parent that a container's snapshot is prepared on. */
  readonly chainId: Digest;
  /** Sum of the layers' compressed sizes plus config and manifest, bytes. */
  readonly sizeBytes: number;
  /** Unix time in ms, from the config; 0 when absent. */
  readonly createdAtMs: number;
}

/** One image in the local store: a config with its unpacked layers, and the names that point at it. */
export interface Image extends ImageSummary {
  readonly config: ImageConfig;
  readonly layers: readonly Descriptor[];
}

/** Progress of one layer or of the whole pull; drawn by the CLI. */
export type PullProgress =
  | { readonly kind: "resolved"; readonly ref: string; readonly digest: Digest; readonly layers: readonly Descriptor[] }
  | { readonly kind: "exists"; readonly digest: Digest }
  | { readonly kind: "download"; readonly digest: Digest; readonly doneBytes: number; readonly totalBytes: number }
  | { readonly kind: "unpack"; readonly digest: Digest }
  | { readonly kind: "done"; readonly digest: Digest };

export interface PullOptions {
  /** `os/arch[/variant]`; default: this host. */
  readonly platform?: string | undefined;
  /** Keep what the other platforms of an index need too, for `save` and `push`; only one image is unpacked. */
  readonly allPlatforms?: boolean | undefined;
  readonly onProgress?: ((event: PullProgress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What one layer may unpack to. */
export interface LayerLimits {
  /** Of its tar stream. */
  readonly bytes: number;
  readonly entries: number;
  /** Times its own size; counts when more than 1 GiB comes out. */
  readonly ratio: number;
}

/** `oci-archive` is a tar of an OCI layout that docker reads too; `docker-archive` what docker wrote before it had layouts. */
export type ArchiveFormat = "oci-archive" | "docker-archive";

/** Where saved images go. */
export type SaveTarget =
  /** An OCI layout; the directory must be absent or empty. */
  | { readonly kind: "directory"; readonly path: string }
  /** Appears when it is whole. */
  | { readonly kind: "file"; readonly path: string; readonly format: ArchiveFormat }
  | {
      readonly kind: "stream";
      readonly write: (data: Uint8Array) => Promise<void>;
      readonly format: ArchiveFormat;
    };

export interface ImagePushOptions extends PushOptions, PlatformChoice {
  /** All images of the repository. */
  readonly allTags?: boolean | undefined;
}

/** Which of the images that a name's index leads to; default: the one that is unpacked here. */
export interface PlatformChoice {
  /** `os/arch[/variant]`. */
  readonly platform?: string | undefined;
  /** The whole index: all of it must be here, see {@link PullOptions.allPlatforms}. */
  readonly allPlatforms?: boolean | undefined;
}

export interface SaveOptions extends PlatformChoice {
  readonly signal?: AbortSignal | undefined;
}

export interface ImportOptions {
  /** Dockerfile instructions that settings are made from. */
  readonly changes: readonly string[];
  /** Comment of the only step of the image's history. */
  readonly message?: string | undefined;
  /** `os/arch[/variant]`; default: this host. */
  readonly platform?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface CheckOptions {
  /** Fetch again, unpack again, or remove what is broken. */
  readonly repair: boolean;
  readonly signal?: AbortSignal | undefined;
}

export interface Problem {
  /** `blob sha256:…`, `layer sha256:…`, `image NAME`, `container ID`, `repository NAME`. */
  readonly what: string;
  readonly why: string;
  /** What was done about it; undefined: nothing. */
  readonly repaired: string | undefined;
}

export interface Checked {
  readonly problems: readonly Problem[];
  /** What there was to check. */
  readonly blobs: number;
  readonly totalBytes: number;
  readonly layers: number;
  readonly images: number;
}

export interface Pruned {
  readonly untagged: readonly string[];
  /** Ids of images and chain ids of layers. */
  readonly deleted: readonly Digest[];
  readonly reclaimedBytes: number;
}

/** The image store. Every method is safe beside other processes that use the same store. */
export interface Images {
  /** Downloads and unpacks; what is there already is not fetched again. */
  pull(ref: string, options?: PullOptions): Promise<Image>;
  /** Uploads the image under its name, or all images of its repository; what the registry has is not sent. */
  push(ref: string, options?: ImagePushOptions): Promise<readonly Pushed[]>;
  /** Gives the image another name. */
  tag(source: string, name: string): void;
  /** Reads an OCI layout (directory or tar) or docker archive (tar, may be gzip or zstd). */
  load(path: string, options?: PullOptions): Promise<readonly Image[]>;
  /**
   * Writes images, each once, with the names they are asked by: an OCI layout holds their blobs byte for byte.
   *
   * @throws {BerthError} NotFound; FailedPrecondition if a platform is not here; DataLoss if the store's bytes are not
   * what they were
   */
  save(refs: readonly string[], target: SaveTarget, options?: SaveOptions): Promise<void>;
  /** False when another platform is asked for than the image's. */
  suits(image: Image, platform: string | undefined): boolean;
  /**
   * Makes an image of one layer from a root file system in a tar (plain, gzip or zstd; a file, or `-` for stdin).
   *
   * @param name undefined: it gets none
   */
  import(path: string, name: string | undefined, options: ImportOptions): Promise<Image>;
  /** By name (normalised as docker does), `name@digest`, id or unique id prefix (≥ 4 hex digits). */
  find(ref: string): Image | undefined;
  /** As find, but throws NotFound with docker's wording and a hint. */
  get(ref: string): Image;
  /** Newest first. */
  list(): readonly ImageSummary[];
  /** With what takes three quarters of the time to read, when there are many. */
  listWhole(): readonly Image[];
  /**
   * Removes the name; when it was the last one, or `ref` is an id, the image with its unused layers.
   * @throws {BerthError} FailedPrecondition when a container uses it (and not force) or an id has several names
   */
  remove(
    ref: string,
    options?: { readonly force?: boolean },
  ): Promise<{ readonly untagged: readonly string[]; readonly deleted: readonly Digest[] }>;
  /**
   * Takes names from an image, all of them when none are given; it stays, even without a name.
   *
   * @throws {BerthError} NotFound when a name is not the image's
   */
  untag(ref: string, names: readonly string[]): readonly string[];
  /** Removes the images that `fits` holds for and no container uses, with what only they need. */
  prune(fits: (image: Image) => boolean): Promise<Pruned>;
  /** Verifies every digest, parent link and reference of blobs, layers and images. */
  check(options: CheckOptions): Promise<Checked>;
  /** Chain ids of the image's layers, lowest first. */
  chainIds(id: Digest): readonly Digest[];
  /** Every blob that the image needs. */
  blobs(id: Digest): readonly Digest[];
  /** Removes what nobody needs: blobs and layers of no image, held by no process, kept by no repository. */
  collect(): Promise<void>;
}

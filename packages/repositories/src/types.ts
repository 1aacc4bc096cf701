import type { Upload } from "@berth/content";
import type { Descriptor, Digest, DigestAlgorithm, StoredManifest } from "@berth/oci";

export interface KeptManifest {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly sizeBytes: number;
}

/** Something that a repository has. */
export interface Kept {
  readonly repository: string;
  readonly kind: "manifest" | "blob";
  readonly digest: Digest;
}

/** A part of a sorted list, and whether there is more behind it. */
export interface Page<T> {
  readonly items: readonly T[];
  readonly more: boolean;
}

export interface PageOptions {
  /** Only what comes after this one. */
  readonly after?: string | undefined;
  readonly limit: number;
}

export interface PutManifest {
  readonly bytes: Uint8Array;
  /** Of `bytes`, by the algorithm that the client chose. */
  readonly digest: Digest;
  /** What `bytes` say. */
  readonly document: StoredManifest;
  readonly tags: readonly string[];
}

/**
 * The repositories that this data root serves to others. Names are repository paths, checked by the caller. Every
 * method is safe beside other processes; what it returns from is on disk.
 */
export interface Repositories {
  has(name: string): boolean;
  list(options: PageOptions): Page<string>;

  /** File and size of a blob of this repository; asking for it keeps it from expiring. */
  findBlob(name: string, digest: Digest): { readonly path: string; readonly sizeBytes: number } | undefined;
  /** Takes over a blob of another repository, of any when `from` is undefined; false when none has it. */
  mountBlob(name: string, digest: Digest, from: string | undefined): boolean;
  removeBlob(name: string, digest: Digest): boolean;

  /** @param id unique, letters, digits and dashes; known in this repository only */
  beginUpload(name: string, id: string, algorithm?: DigestAlgorithm): Upload;
  findUpload(name: string, id: string): Upload | undefined;
  /** Makes an upload a blob of the repository; see {@link Upload.commit}. */
  commitUpload(name: string, upload: Upload, digest: Digest): Promise<void>;

  /** Blobs and manifests that a document names and the repository has not; those with URLs elsewhere are left out. */
  missing(name: string, document: StoredManifest): readonly Descriptor[];
  putManifest(name: string, manifest: PutManifest): void;
  /** @param reference digest or tag */
  findManifest(name: string, reference: string): KeptManifest | undefined;
  /** The bytes of a manifest, as they came. */
  readManifest(digest: Digest): Buffer;
  /** With its tags. */
  removeManifest(name: string, digest: Digest): boolean;

  listTags(name: string, options: PageOptions): Page<string>;
  removeTag(name: string, tag: string): boolean;
  /** Descriptors of the manifests whose subject is `digest`, in the order of their digests. */
  listReferrers(
    name: string,
    digest: Digest,
    options: PageOptions & { readonly artifactType?: string | undefined },
  ): Page<Descriptor>;

  /** What has lost its file. */
  verify(): readonly Kept[];
  /** Blobs that garbage collection must keep. */
  usedBlobs(): ReadonlySet<Digest>;
}

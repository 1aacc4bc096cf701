import type { Descriptor, Digest } from "@berth/oci";

export interface RegistryOptions {
  /** Host with optional port as in an image name; `docker.io` is Docker Hub. */
  readonly domain: string;
  /** Repository that is meant, for files that keep credentials by repository. */
  readonly repository?: string | undefined;
  /** Plain HTTP and unverified TLS are allowed; loopback hosts always allow plain HTTP. */
  readonly insecure?: boolean | undefined;
  /** PEM file of further certificate authorities; given, a loopback host is spoken to by TLS only. */
  readonly caFile?: string | undefined;
  /** Directories of `<host[:port]>/*.crt`; default docker's and containers' under /etc. */
  readonly certsDirs?: readonly string[] | undefined;
  /** Silence or dribble that is borne before a connection counts as broken, ms; default one minute. */
  readonly idleMs?: number | undefined;
  /** Default: what docker's and podman's files say for this host. */
  readonly credentials?: Credentials | undefined;
}

export type Credentials =
  | { readonly kind: "basic"; readonly username: string; readonly password: string }
  /** OAuth refresh token (docker calls it identity token). */
  | { readonly kind: "identity"; readonly token: string }
  /** Ready bearer token. */
  | { readonly kind: "bearer"; readonly token: string };

export interface FetchedManifest {
  readonly bytes: Buffer;
  /** The server's content type, not verified against the document. */
  readonly contentType: string;
  /** Of `bytes`; equal to what was asked by digest and to what the server claims. */
  readonly digest: Digest;
}

/**
 * One registry (distribution-spec). `path` is a repository in it, `reference` a tag or digest. Retries what may pass,
 * with backoff. Methods throw BerthError: NotFound, Unauthenticated, PermissionDenied, Unavailable, ResourceExhausted,
 * DataLoss, Cancelled.
 */
export interface Registry extends Disposable {
  /** Asks whether the credentials are right. */
  check(signal?: AbortSignal): Promise<void>;
  fetchManifest(path: string, reference: string, signal?: AbortSignal): Promise<FetchedManifest>;
  /** The blob's bytes from `offset` on; broken connections are resumed. Not verified: the content store does that. */
  fetchBlob(path: string, digest: Digest, options?: FetchBlobOptions): AsyncIterable<Uint8Array>;
  /** Sends a blob unless it is there; broken uploads are resumed. */
  pushBlob(path: string, blob: PushedBlob): Promise<PushedBy>;
  /**
   * Sends a manifest or index, after all that it names. One with a subject is also entered into the subject's list of
   * referrers where the registry does not do that itself.
   */
  pushManifest(path: string, reference: string, manifest: PushedManifest, signal?: AbortSignal): Promise<void>;
  /** All tags, page by page. */
  listTags(path: string, options?: ListTagsOptions): AsyncIterable<string>;
  /** The manifests that have this one as their subject. */
  listReferrers(path: string, digest: Digest, options?: ListReferrersOptions): Promise<readonly Descriptor[]>;
  /** Deletes a manifest by digest, or a tag. */
  remove(path: string, reference: string, signal?: AbortSignal): Promise<void>;
}

export interface FetchBlobOptions {
  readonly offset?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface PushedBlob {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  /** The bytes of a part, `end` not included; may be asked again for the same ones. A chunk lasts until the next one. */
  readonly open: (start: number, end: number) => AsyncIterable<Uint8Array>;
  /** Repository of the same registry that may have the blob. */
  readonly mountFrom?: string | undefined;
  /** Send pieces of so many bytes, each acknowledged, instead of the whole at once. */
  readonly chunkBytes?: number | undefined;
  readonly onProgress?: ((doneBytes: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

export type PushedBy = "exists" | "mounted" | "uploaded";

export interface PushedManifest {
  readonly bytes: Uint8Array;
  readonly mediaType: string;
}

export interface ListTagsOptions {
  /** Tags of one answer; the registry may give fewer. */
  readonly pageSize?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface ListReferrersOptions {
  readonly artifactType?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

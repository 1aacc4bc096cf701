import type { Digest } from "@berth/oci";

export interface RegistryOptions {
  /** Host with optional port as in an image name; `docker.io` is Docker Hub. */
  readonly domain: string;
  /** Plain HTTP and unverified TLS are allowed; loopback hosts always allow plain HTTP. */
  readonly insecure?: boolean | undefined;
  /** PEM file of further certificate authorities; given, a loopback host is spoken to by TLS only. */
  readonly caFile?: string | undefined;
  /** Directories of `<host[:port]>/*.crt`; default docker's and containers' under /etc. */
  readonly certsDirs?: readonly string[] | undefined;
  /** Default: what docker's config.json says for this host. */
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

/** Reading side of one registry (distribution-spec). Retries what may pass, with backoff. */
export interface Registry extends Disposable {
  /**
   * @param path repository in the registry
   * @param reference tag or digest
   * @throws {BerthError} NotFound, Unauthenticated, PermissionDenied, Unavailable, ResourceExhausted, DataLoss
   */
  fetchManifest(path: string, reference: string, signal?: AbortSignal): Promise<FetchedManifest>;
  /** The blob's bytes from `offset` on; broken connections are resumed. Not verified: the content store does that. */
  fetchBlob(path: string, digest: Digest, options?: FetchBlobOptions): AsyncIterable<Uint8Array>;
}

export interface FetchBlobOptions {
  readonly offset?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

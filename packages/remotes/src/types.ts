import type { Descriptor, Digest } from "@berth/oci";

export interface HostsOptions {
  /** Path of a file as containers-registries.conf(5); it need not be there. */
  readonly registriesConf?: string | undefined;
  /** Hosts that may be spoken to by plain HTTP; loopback always may. */
  readonly insecureRegistries?: readonly string[] | undefined;
  /** PEM file of extra certificate authorities for every registry (besides the system's and certs.d). */
  readonly caFile?: string | undefined;
}

/** Progress of a push or a copy; drawn by the CLI. */
export type PushProgress =
  | { readonly kind: "planned"; readonly blobs: readonly Descriptor[] }
  | { readonly kind: "upload"; readonly digest: Digest; readonly doneBytes: number; readonly totalBytes: number }
  | { readonly kind: "exists" | "mounted" | "pushed"; readonly digest: Digest };

export interface PushOptions {
  /** Send blobs in pieces of so many bytes, each acknowledged by the registry. */
  readonly chunkBytes?: number | undefined;
  readonly onProgress?: ((event: PushProgress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What was pushed. */
export interface Pushed {
  /** Fully qualified, with tag. */
  readonly name: string;
  readonly digest: Digest;
  /** Bytes of the manifest. */
  readonly size: number;
}

export interface CopyOptions extends PushOptions {
  /** `os/arch[/variant]`: only that image of an index; default: all. */
  readonly platform?: string | undefined;
  /** What refers to it too: signatures, bills of materials. */
  readonly referrers?: boolean | undefined;
}

export interface ArtifactFile {
  readonly path: string;
  readonly mediaType?: string | undefined;
}

export interface PushArtifactOptions extends PushOptions {
  readonly artifactType: string;
  readonly annotations?: Readonly<Record<string, string>> | undefined;
  /** Name of the manifest that the artifact is about, in the same repository. */
  readonly subject?: string | undefined;
}

export interface PullArtifactOptions {
  /** Existing directory to write to. */
  readonly directory: string;
  /** Replace files that are there. */
  readonly overwrite?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface PulledArtifact {
  readonly digest: Digest;
  /** Absolute paths. */
  readonly files: readonly string[];
}

/** Changes of one entry of a manifest list; what is undefined stays. */
export interface IndexEntryChange {
  readonly os?: string | undefined;
  readonly architecture?: string | undefined;
  readonly variant?: string | undefined;
  readonly annotations?: Readonly<Record<string, string>> | undefined;
}

/** What is done with registries by name. Names are read as `pull` reads them; methods throw BerthError. */
export interface Remotes {
  login(
    domain: string,
    credentials: { readonly username: string; readonly password: string },
    options?: LoginOptions,
  ): Promise<{ readonly path: string; readonly helper: string | undefined }>;
  /** @returns false when there was no login */
  logout(domain: string, options?: LoginOptions): Promise<boolean>;
  /** From registry to registry, without unpacking; what the target has is not sent. */
  copy(from: string, to: string, options?: CopyOptions): Promise<Pushed>;
  pushArtifact(name: string, files: readonly ArtifactFile[], options: PushArtifactOptions): Promise<Pushed>;
  pullArtifact(name: string, options: PullArtifactOptions): Promise<PulledArtifact>;
  tags(repository: string, signal?: AbortSignal): AsyncIterable<string>;
  /** Deletes a tag, or a manifest by digest, in the registry. */
  remove(name: string, signal?: AbortSignal): Promise<void>;
  referrers(
    name: string,
    options?: { readonly artifactType?: string | undefined; readonly signal?: AbortSignal | undefined },
  ): Promise<readonly Descriptor[]>;
  indexes(): Promise<Indexes>;
}

export interface LoginOptions {
  /** Default: `$REGISTRY_AUTH_FILE` or docker's config.json. */
  readonly authFile?: string | undefined;
  /** The host may be spoken to by plain HTTP and unverified TLS. */
  readonly insecure?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Manifest lists in the making, kept here until they are pushed. */
export interface Indexes {
  /** @param images names of images in registries; each is looked up now */
  create(name: string, images: readonly string[], options?: { readonly amend?: boolean | undefined }): Promise<string>;
  annotate(name: string, image: string, change: IndexEntryChange): Promise<void>;
  /** The document that would be pushed; without such a list, the manifest that the registry has under the name. */
  inspect(name: string, signal?: AbortSignal): Promise<string>;
  /** @param options.purge forget the list afterwards */
  push(name: string, options?: PushOptions & { readonly purge?: boolean | undefined }): Promise<Pushed>;
  remove(name: string): Promise<void>;
}

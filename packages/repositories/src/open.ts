import { createHash } from "node:crypto";
import type { Content, Upload } from "@berth/content";
import { algorithmOf, type Descriptor, type Digest, type DigestAlgorithm, type StoredManifest } from "@berth/oci";
import type { State } from "@berth/state";
import * as store from "./store.ts";
import type { Kept, KeptManifest, Page, PageOptions, PutManifest, Repositories } from "./types.ts";

/** How long a blob that no manifest names is kept: a push may take its time. */
const FRESH_MS = 86_400_000;
/** Uses closer together than this are not written down. */
const TOUCH_MS = 3_600_000;

/**
 * The repositories of one data root. Cheap: nothing is read.
 *
 * @param options.state opened with the `migrations` of content and of this package
 */
export function openRepositories(options: { readonly state: State; readonly content: Content }): Repositories {
  return new StoredRepositories(options.state, options.content);
}

class StoredRepositories implements Repositories {
  readonly #state: State;
  readonly #content: Content;

  constructor(state: State, content: Content) {
    this.#state = state;
    this.#content = content;
  }

  has(name: string): boolean {
    return store.hasRepository(this.#state.db, name);
  }

  list({ after = "", limit }: PageOptions): Page<string> {
    return toPage(store.listRepositories(this.#state.db, after, limit + 1), limit);
  }

  findBlob(name: string, digest: Digest): { readonly path: string; readonly sizeBytes: number } | undefined {
    const { db } = this.#state;
    const usedAtMs = store.findBlobUse(db, name, digest);
    const sizeBytes = usedAtMs === undefined ? undefined : this.#content.sizeOf(digest);
    if (usedAtMs === undefined || sizeBytes === undefined) return undefined;
    const now = Date.now();
    if (now - usedAtMs > TOUCH_MS) this.#state.transaction(() => store.writeBlob(db, name, digest, now));
    return { path: this.#content.path(digest), sizeBytes };
  }

  mountBlob(name: string, digest: Digest, from: string | undefined): boolean {
    const { db } = this.#state;
    // The write lock keeps garbage collection from taking the blob between the question and the row.
    return this.#state.transaction(() => {
      const isThere =
        from === undefined ? store.isBlobAnywhere(db, digest) : store.findBlobUse(db, from, digest) !== undefined;
      if (!isThere || !this.#content.has(digest)) return false;
      this.#link(name, digest);
      return true;
    });
  }

  removeBlob(name: string, digest: Digest): boolean {
    return this.#state.transaction(() => store.removeBlob(this.#state.db, name, digest), { durable: true });
  }

  beginUpload(name: string, id: string, algorithm: DigestAlgorithm = "sha256"): Upload {
    return this.#content.beginUpload(uploadName(name, id), algorithm);
  }

  findUpload(name: string, id: string): Upload | undefined {
    return this.#content.findUpload(uploadName(name, id));
  }

  commitUpload(name: string, upload: Upload, digest: Digest): Promise<void> {
    return upload.commit(digest, () => this.#link(name, digest));
  }

  missing(name: string, document: StoredManifest): readonly Descriptor[] {
    const isElsewhere = (blob: Descriptor): boolean =>
      (blob.urls?.length ?? 0) > 0 || /nondistributable|foreign/.test(blob.mediaType);
    return [
      ...document.blobs.filter((blob) => !isElsewhere(blob) && this.findBlob(name, blob.digest) === undefined),
      ...document.manifests.filter((child) => this.findManifest(name, child.digest) === undefined),
    ];
  }

  putManifest(name: string, { bytes, digest, document, tags }: PutManifest): void {
    const { db } = this.#state;
    using _hold = this.#state.hold([digest]);
    this.#content.put(bytes, algorithmOf(digest));
    const write = (): void => {
      store.addRepository(db, name);
      store.addManifest(db, name, { digest, sizeBytes: bytes.length, document });
      for (const tag of tags) store.writeTag(db, name, tag, digest);
    };
    this.#state.transaction(write, { durable: true });
  }

  findManifest(name: string, reference: string): KeptManifest | undefined {
    return store.findManifest(this.#state.db, name, reference);
  }

  readManifest(digest: Digest): Buffer {
    return this.#content.read(digest);
  }

  removeManifest(name: string, digest: Digest): boolean {
    return this.#state.transaction(() => store.removeManifest(this.#state.db, name, digest), { durable: true });
  }

  listTags(name: string, { after = "", limit }: PageOptions): Page<string> {
    return toPage(store.listTags(this.#state.db, name, after, limit + 1), limit);
  }

  removeTag(name: string, tag: string): boolean {
    return this.#state.transaction(() => store.removeTag(this.#state.db, name, tag), { durable: true });
  }

  listReferrers(
    name: string,
    subject: Digest,
    options: PageOptions & { readonly artifactType?: string | undefined },
  ): Page<Descriptor> {
    const { after = "", limit, artifactType } = options;
    const query = { name, subject, artifactType, after, limit: limit + 1 };
    return toPage(store.listReferrers(this.#state.db, query), limit);
  }

  verify(): readonly Kept[] {
    return store.listKept(this.#state.db).filter(({ digest }) => !this.#content.has(digest));
  }

  usedBlobs(): ReadonlySet<Digest> {
    return new Set(store.listUsedBlobs(this.#state.db, Date.now() - FRESH_MS));
  }

  #link(name: string, digest: Digest): void {
    store.addRepository(this.#state.db, name);
    store.writeBlob(this.#state.db, name, digest, Date.now());
  }
}

/** The same id in another repository is another upload. */
function uploadName(name: string, id: string): string {
  return `${id}-${createHash("sha256").update(name).digest("hex").slice(0, 16)}`;
}

function toPage<T>(found: readonly T[], limit: number): Page<T> {
  return { items: found.slice(0, limit), more: found.length > limit };
}

import { BerthError } from "@berth/base";
import { digestOf } from "@berth/content";
import {
  algorithmOf,
  type Descriptor,
  type Digest,
  isDistributed,
  MAX_NESTING,
  nestedTooDeep,
  parseStoredManifest,
} from "@berth/oci";
import { type ResolveOptions, verify } from "./resolve.ts";
import type { Root } from "./source.ts";

/** An index that names more is made to keep us busy. */
const MAX_DOCUMENTS = 1000;

/** All that a manifest or index leads to, itself included. */
export interface Everything {
  /** Manifests and indexes, stored and verified. */
  readonly documents: readonly Digest[];
  /** Configurations and layers, each once; not fetched. */
  readonly blobs: readonly Descriptor[];
}

/** Brings all documents of an index into the store, those of other platforms and of attestations too. */
export async function fetchDocuments(root: Root, options: ResolveOptions): Promise<Everything> {
  const { content, source, hold, signal } = options;
  const documents = new Set<Digest>();
  const blobs = new Map<Digest, Descriptor>();
  const visit = async ({ bytes, contentType, digest = digestOf(bytes) }: Root, depth: number): Promise<void> => {
    if (documents.has(digest)) return;
    if (depth > MAX_NESTING) throw nestedTooDeep(source.what);
    const document = parseStoredManifest(bytes, `manifest ${digest} of ${source.what}`, contentType ?? "");
    if (documents.size + document.manifests.length >= MAX_DOCUMENTS) throw tooMany(source.what);
    hold([digest, ...document.blobs.map((blob) => blob.digest)]);
    documents.add(content.put(bytes, algorithmOf(digest)));
    for (const blob of document.blobs) if (isDistributed(blob)) blobs.set(blob.digest, blob);
    for (const entry of document.manifests) {
      if (documents.has(entry.digest)) continue;
      hold([entry.digest]);
      const fetched = content.has(entry.digest)
        ? content.read(entry.digest)
        : (await source.fetchManifest(entry.digest, signal)).bytes;
      verify(entry, fetched);
      await visit({ bytes: fetched, contentType: entry.mediaType, digest: entry.digest }, depth + 1);
    }
  };
  await visit(root, 0);
  return { documents: [...documents], blobs: [...blobs.values()] };
}

const tooMany = (what: string): BerthError =>
  new BerthError("ResourceExhausted", `read image ${what}: its index names more than ${MAX_DOCUMENTS} manifests`, {
    hint: "choose one platform with --platform",
  });

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

const PARALLEL_DOCUMENTS = 4;

/** All that a manifest or index leads to, itself included. */
export interface Everything {
  /** Manifests and indexes, stored and verified. */
  readonly documents: readonly Digest[];
  /** Configurations and layers, each once; not fetched. */
  readonly blobs: readonly Descriptor[];
}

/** Brings all documents of an index into the store, those of other platforms and of attestations too. */
export async function fetchDocuments(root: Root, options: ResolveOptions): Promise<Everything> {
  const { content, source, hold } = options;
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
    const below = document.manifests.filter((entry) => !documents.has(entry.digest));
    await fetchMissing(below, options);
    for (const entry of below) {
      const stored = content.read(entry.digest);
      verify(entry, stored);
      await visit({ bytes: stored, contentType: entry.mediaType, digest: entry.digest }, depth + 1);
    }
  };
  await visit(root, 0);
  return { documents: [...documents], blobs: [...blobs.values()] };
}

/** Several at once: a large index is mostly waiting. The first failure ends the others. */
async function fetchMissing(entries: readonly Descriptor[], options: ResolveOptions): Promise<void> {
  const { content, source, hold } = options;
  const stop = new AbortController();
  const signal = AbortSignal.any([stop.signal, options.signal]);
  const queue = entries.values();
  let failure: { readonly error: unknown } | undefined;
  const work = async (): Promise<void> => {
    for (const entry of queue) {
      if (failure !== undefined) return;
      hold([entry.digest]);
      if (content.has(entry.digest)) continue;
      try {
        const { bytes } = await source.fetchManifest(entry.digest, signal);
        verify(entry, bytes);
        content.put(bytes, algorithmOf(entry.digest));
      } catch (error) {
        failure ??= { error };
        stop.abort(error);
      }
    }
  };
  await Promise.all(Array.from({ length: PARALLEL_DOCUMENTS }, work));
  if (failure !== undefined) throw failure.error;
}

const tooMany = (what: string): BerthError =>
  new BerthError("ResourceExhausted", `read image ${what}: its index names more than ${MAX_DOCUMENTS} manifests`, {
    hint: "choose one platform with --platform",
  });

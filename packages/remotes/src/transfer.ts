import { availableParallelism } from "node:os";
import { BerthError } from "@berth/base";
import { type Descriptor, type Digest, isDistributed, MAX_NESTING, parseStoredManifest } from "@berth/oci";
import { isLoopback } from "@berth/registry";
import type { Repository } from "./hosts.ts";
import { type Source, verify } from "./source.ts";
import type { PushProgress } from "./types.ts";

const MAX_UPLOADS = 6;

export interface TransferOptions {
  readonly source: Source;
  readonly target: Repository;
  /** Repository that has the blobs, if it is in the target's registry. */
  readonly mountFrom?: string | undefined;
  readonly chunkBytes?: number | undefined;
  readonly onProgress?: ((event: PushProgress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A manifest or index to begin with. */
export interface Root {
  readonly bytes: Uint8Array;
  readonly mediaType: string;
  readonly digest: Digest;
}

/**
 * Pushes a manifest or index with all that it names: blobs first, then manifests, each after what it names.
 *
 * @param references tags to push it under, or none: by its digest only
 */
export async function transfer(root: Root, references: readonly string[], options: TransferOptions): Promise<void> {
  const done = new Set<Digest>();
  await pushChildren(root, { options, done, depth: 0 });
  const { target, signal } = options;
  for (const reference of references.length === 0 ? [root.digest] : references) {
    await target.registry.pushManifest(target.path, reference, root, signal);
  }
}

interface Work {
  readonly options: TransferOptions;
  /** Blobs and manifests that are there. */
  readonly done: Set<Digest>;
  readonly depth: number;
}

async function pushChildren(root: Root, work: Work): Promise<void> {
  const { options, done, depth } = work;
  const { source, target, signal } = options;
  if (depth > MAX_NESTING) {
    throw new BerthError("InvalidArgument", `push ${root.digest}: its indexes are nested too deep`);
  }
  const document = parseStoredManifest(root.bytes, `manifest ${root.digest}`, root.mediaType);
  for (const child of document.manifests) {
    if (done.has(child.digest)) continue;
    const { bytes } = await source.fetchManifest(child.digest, signal);
    verify(child, bytes);
    const manifest = { bytes, mediaType: child.mediaType, digest: child.digest };
    await pushChildren(manifest, { ...work, depth: depth + 1 });
    await target.registry.pushManifest(target.path, child.digest, manifest, signal);
    done.add(child.digest);
  }
  const blobs = new Map(document.blobs.filter(isDistributed).map((blob) => [blob.digest, blob]));
  const missing = [...blobs.values()].filter((blob) => !done.has(blob.digest));
  options.onProgress?.({ kind: "planned", blobs: missing });
  await pushBlobs(missing, options);
  for (const blob of missing) done.add(blob.digest);
}

/** Several at once, the biggest first, so that none is left alone at the end; the first failure ends the others. */
async function pushBlobs(blobs: readonly Descriptor[], options: TransferOptions): Promise<void> {
  const stop = new AbortController();
  const signal = options.signal === undefined ? stop.signal : AbortSignal.any([stop.signal, options.signal]);
  const queue = blobs.toSorted((a, b) => b.size - a.size).values();
  let failure: { readonly error: unknown } | undefined;
  const work = async (): Promise<void> => {
    for (const blob of queue) {
      try {
        if (signal.aborted) throw new BerthError("Cancelled", `push blob ${blob.digest}: interrupted`);
        await pushBlob(blob, { ...options, signal });
      } catch (error) {
        failure ??= { error };
        stop.abort(error);
      }
    }
  };
  await Promise.all(Array.from({ length: planUploads(options.target.domain, availableParallelism()) }, work));
  if (failure !== undefined) throw failure.error;
}

/**
 * How many blobs to upload at once. To a registry on loopback there is no latency to hide, and it hashes on our processors: more
 * blobs than these are take a tenth longer, for they share them until the biggest is left alone.
 */
export function planUploads(domain: string, processors: number): number {
  return isLoopback(domain.replace(/:\d+$/, "")) ? Math.min(MAX_UPLOADS, processors) : MAX_UPLOADS;
}

async function pushBlob(blob: Descriptor, options: TransferOptions): Promise<void> {
  const { source, target, mountFrom, chunkBytes, signal, onProgress } = options;
  const { digest, size } = blob;
  const by = await target.registry.pushBlob(target.path, {
    digest,
    size,
    mountFrom: mountFrom === target.path ? undefined : mountFrom,
    chunkBytes,
    signal,
    open: (start, end) => cut(source.fetchBlob(digest, start, signal), end - start, digest),
    onProgress: (doneBytes) => onProgress?.({ kind: "upload", digest, doneBytes, totalBytes: size }),
  });
  onProgress?.({ kind: by === "uploaded" ? "pushed" : by, digest });
}

/** So many bytes and no more: a request tells its length before. */
async function* cut(body: AsyncIterable<Uint8Array>, length: number, digest: Digest): AsyncGenerator<Uint8Array> {
  let left = length;
  if (left > 0) {
    for await (const chunk of body) {
      const part = chunk.length > left ? chunk.subarray(0, left) : chunk;
      left -= part.length;
      yield part;
      if (left === 0) return;
    }
  }
  if (left > 0) throw new BerthError("DataLoss", `read blob ${digest}: it ends ${left} bytes too early`);
}

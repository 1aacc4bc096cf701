import { availableParallelism } from "node:os";
import { BerthError } from "@berth/base";
import { type Descriptor, type Digest, isDistributed, MAX_NESTING, parseStoredManifest } from "@berth/oci";
import { isLoopback } from "@berth/registry";
import type { Repository } from "./hosts.ts";
import { type Source, verify } from "./source.ts";
import type { PushProgress } from "./types.ts";

const MAX_UPLOADS = 6;
/** Children of one index on their way at once: most of their time is waiting for answers. */
const MAX_CHILDREN = 4;
/** Documents of one copy; an index that leads to more is made to keep us busy. */
const MAX_DOCUMENTS = 10_000;

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
  const stop = new AbortController();
  const signal = options.signal === undefined ? stop.signal : AbortSignal.any([stop.signal, options.signal]);
  const width = planUploads(options.target.domain, availableParallelism());
  const limit = createLimit(width);
  const work: Work = {
    options: { ...options, signal },
    root,
    stop,
    done: new Map(),
    left: MAX_DOCUMENTS,
    width,
    limit,
  };
  await pushChildren(root, 0, work);
  const { target } = options;
  for (const reference of references.length === 0 ? [root.digest] : references) {
    await target.registry.pushManifest(target.path, reference, root, options.signal);
  }
}

/** One transfer. */
interface Work {
  readonly options: TransferOptions & { readonly signal: AbortSignal };
  readonly root: Root;
  readonly stop: AbortController;
  /** Blobs and manifests that are there, or on their way. */
  readonly done: Map<Digest, Promise<void>>;
  /** Documents that may still be read. */
  left: number;
  /** Blobs that are uploaded at once, whichever manifests name them. */
  readonly width: number;
  readonly limit: Limit;
  failure?: { readonly error: unknown };
}

/** All that a manifest or index names. */
async function pushChildren({ bytes, digest, mediaType }: Root, depth: number, work: Work): Promise<void> {
  const { root, options } = work;
  if (depth > MAX_NESTING) {
    throw new BerthError("InvalidArgument", `push ${root.digest}: its indexes are nested too deep`);
  }
  const document = parseStoredManifest(bytes, `manifest ${digest}`, mediaType);
  work.left -= document.manifests.length;
  if (work.left < 0) throw tooMany(root.digest);
  await each(document.manifests, MAX_CHILDREN, work, (child) =>
    once(child, work, () => pushChild(child, depth + 1, work)),
  );
  const blobs = new Map(document.blobs.filter(isDistributed).map((blob) => [blob.digest, blob]));
  // The biggest first, so that none is left alone at the end.
  const sorted = [...blobs.values()].sort((a, b) => b.size - a.size);
  options.onProgress?.({ kind: "planned", blobs: sorted.filter((blob) => !work.done.has(blob.digest)) });
  await each(sorted, work.width, work, (blob) => once(blob, work, () => work.limit(() => pushBlob(blob, options))));
}

async function pushChild(child: Descriptor, depth: number, work: Work): Promise<void> {
  const { source, target, signal } = work.options;
  const { bytes } = await source.fetchManifest(child.digest, signal);
  verify(child, bytes);
  const manifest = { bytes, mediaType: child.mediaType, digest: child.digest };
  await pushChildren(manifest, depth, work);
  await target.registry.pushManifest(target.path, child.digest, manifest, signal);
}

/** What several documents name is sent by the first of them; the others wait for it. */
function once({ digest }: Descriptor, { done }: Work, body: () => Promise<void>): Promise<void> {
  const known = done.get(digest) ?? body();
  done.set(digest, known);
  return known;
}

/** Does it for each, several at once; the first failure ends the whole transfer. */
async function each<T>(
  items: readonly T[],
  width: number,
  work: Work,
  body: (item: T) => Promise<void>,
): Promise<void> {
  const queue = items.values();
  const worker = async (): Promise<void> => {
    for (const item of queue) {
      if (work.failure !== undefined) return;
      try {
        if (work.options.signal.aborted) throw new BerthError("Cancelled", `push ${work.root.digest}: interrupted`);
        await body(item);
      } catch (error) {
        work.failure ??= { error };
        work.stop.abort(error);
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(width, items.length) }, worker));
  if (work.failure !== undefined) throw work.failure.error;
}

type Limit = (body: () => Promise<void>) => Promise<void>;

/** Lets so many run at once, the others in their order. */
function createLimit(width: number): Limit {
  let free = width;
  const waiting: (() => void)[] = [];
  return async (body) => {
    if (free === 0) await new Promise<void>((resolve) => waiting.push(resolve));
    else free--;
    try {
      await body();
    } finally {
      const next = waiting.shift();
      if (next === undefined) free++;
      else next();
    }
  };
}

const tooMany = (digest: Digest): BerthError =>
  new BerthError("ResourceExhausted", `push ${digest}: its indexes name more than ${MAX_DOCUMENTS} documents`, {
    hint: "choose one platform with --platform",
  });

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

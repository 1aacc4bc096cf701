import { dirname } from "node:path";
import { BerthError, isCode } from "@berth/base";
import type { IngestOptions } from "@berth/content";
import type { Descriptor, Digest } from "@berth/oci";
import type { ErrorCode } from "@berth/protocol";
import { collectRows, type Stores, sweep } from "./collect.ts";
import { cancelled } from "./errors.ts";
import { Growing, throwFailure } from "./growing.ts";
import { parseCreated, planChainIds } from "./plan.ts";
import { fetchDocuments } from "./platforms.ts";
import { type Resolved, resolve } from "./resolve.ts";
import type { Root, Source } from "./source.ts";
import { tellSpace } from "./space.ts";
import * as store from "./store.ts";
import type { LayerLimits, PullProgress } from "./types.ts";
import { unpackLayer } from "./unpack.ts";

const PARALLEL_DOWNLOADS = 3;
/** Each has three threads. */
const PARALLEL_UNPACKS = 2;
/** What keel may report of a layer whose bytes are not the right ones. */
const BAD_LAYER: readonly ErrorCode[] = ["InvalidArgument", "DataLoss", "Internal"];

/** What pull and load need of the store. */
export interface Target extends Stores {
  readonly keelPath: string;
  readonly layerLimits: LayerLimits;
}

export interface ObtainOptions {
  readonly target: Target;
  readonly source: Source;
  readonly platform: string | undefined;
  /** Fetch what the other platforms of an index need too; only one image is unpacked. */
  readonly allPlatforms?: boolean | undefined;
  /** Name to give the image, fully qualified with tag. */
  readonly name: string | undefined;
  /** Repository in which the root's digest names the image. */
  readonly repository: string | undefined;
  readonly onProgress: (event: PullProgress) => void;
  readonly signal: AbortSignal | undefined;
}

/**
 * Brings the image that `root` leads to into the store: documents, blobs, layers, then the rows that make it visible.
 * What is there already is not fetched; what a dead process left is used.
 *
 * @returns its id
 */
export async function obtain(root: Root, options: ObtainOptions): Promise<Digest> {
  try {
    return await fetchAll(root, options);
  } catch (error) {
    if (!(error instanceof BerthError) || !isCode(error, "ResourceExhausted")) throw error;
    const told = tellSpace(error, dirname(options.target.content.spoolDir));
    await freeSpace(options.target);
    throw told;
  }
}

/** After a full disk nothing is kept for a next try: the space may be needed more urgently. */
async function freeSpace(target: Target): Promise<void> {
  try {
    target.content.recover({ maxAgeMs: 0 });
    await sweep(
      target,
      target.state.transaction(() => collectRows(target), { durable: true }),
    );
  } catch (error) {
    // The database may need space itself; the next command tries again.
    if (!isCode(error, "ResourceExhausted")) throw error;
  }
}

async function fetchAll(root: Root, options: ObtainOptions): Promise<Digest> {
  const { target, source, onProgress } = options;
  const { state } = target;
  using held = new DisposableStack();
  const hold = (names: readonly Digest[]): void => void held.use(state.hold(names));
  const stop = new AbortController();
  const signal = options.signal === undefined ? stop.signal : AbortSignal.any([stop.signal, options.signal]);
  try {
    const toResolve = { content: target.content, source, platform: options.platform, hold, signal };
    const resolved = await resolve(root, toResolve);
    const { layers, config } = resolved.manifest;
    const chain = planChainIds(resolved.config.rootfs.diff_ids);
    hold([...chain, ...layers.map((layer) => layer.digest)]);
    const all = options.allPlatforms ? await fetchDocuments(root, toResolve) : { documents: [], blobs: [] };
    const own = new Set([config.digest, ...layers.map((layer) => layer.digest)]);
    const others = all.blobs.filter((blob) => !own.has(blob.digest));
    const digest = resolved.descriptor.digest;
    onProgress({ kind: "resolved", ref: source.what, digest, layers: [...layers, ...others] });
    const work = { options, resolved, chain, stop, signal };
    await fetchLayers(work);
    await fetchBlobs(others, work);
    return record(resolved, chain, options, [...all.documents, ...others.map((blob) => blob.digest)]);
  } catch (error) {
    throw options.signal?.aborted && !isCode(error, "Cancelled") ? cancelled(source.what, error) : error;
  }
}

interface Work {
  readonly options: ObtainOptions;
  readonly resolved: Resolved;
  readonly chain: readonly Digest[];
  readonly stop: AbortController;
  readonly signal: AbortSignal;
}

interface Step {
  readonly layer: Descriptor;
  /** Position in the image, 0 is the lowest. */
  readonly i: number;
  readonly blob: Growing;
  /** The layer below, if it is missing too. */
  readonly below: Step | undefined;
  /** Its row is there, so that a layer above can be begun; also when it has ended. */
  readonly begun: PromiseWithResolvers<void>;
  /** It is committed, or has failed. */
  readonly ended: PromiseWithResolvers<void>;
}

/**
 * Downloads several layers at once and unpacks several, each while it arrives; keel waits for those below it if it must
 * look into them. They are committed in their order.
 */
async function fetchLayers(work: Work): Promise<void> {
  const { resolved, chain, stop, options } = work;
  const { snapshots, content } = options.target;
  const missing: Step[] = [];
  // Unpacked from other bytes, of another compression for instance: push and save need these too.
  const onlyBlob: Step[] = [];
  for (const [i, layer] of resolved.manifest.layers.entries()) {
    const isThere = snapshots.has(chain[i] as Digest);
    const [begun, ended] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const below = isThere ? undefined : missing.at(-1);
    const step = { layer, i, blob: new Growing(content.path(layer.digest)), below, begun, ended };
    if (!isThere) missing.push(step);
    else if (!content.has(layer.digest)) onlyBlob.push(step);
    else options.onProgress({ kind: "exists", digest: layer.digest });
  }
  let failure: { readonly error: unknown } | undefined;
  const fail = (error: unknown): void => {
    failure ??= { error };
    stop.abort(error);
  };
  const queue = [...missing, ...onlyBlob].values();
  const download = async (): Promise<void> => {
    for (const step of queue) {
      try {
        await fetchLayer(step, work);
        if (onlyBlob.includes(step)) options.onProgress({ kind: "done", digest: step.layer.digest });
        step.blob.finish({});
      } catch (error) {
        fail(error);
        step.blob.finish({ failure: { error } });
      }
    }
  };
  const toCommit = missing.values();
  const commit = async (): Promise<void> => {
    for (const step of toCommit) {
      try {
        await step.blob.started;
        await step.below?.begun.promise;
        work.signal.throwIfAborted();
        await commitLayer(step, work);
      } catch (error) {
        fail(error);
      }
      step.begun.resolve();
      step.ended.resolve();
    }
  };
  const downloads = Array.from({ length: PARALLEL_DOWNLOADS }, download);
  const commits = Array.from({ length: PARALLEL_UNPACKS }, commit);
  await Promise.all([...downloads, ...commits]);
  if (failure !== undefined) throw failure.error;
}

/** Blobs that are kept, and not unpacked. */
async function fetchBlobs(blobs: readonly Descriptor[], work: Work): Promise<void> {
  const queue = blobs.values();
  let failure: { readonly error: unknown } | undefined;
  const download = async (): Promise<void> => {
    for (const blob of queue) {
      await fetchBlob(blob, work, {});
      work.options.onProgress({ kind: "done", digest: blob.digest });
    }
  };
  await Promise.all(
    Array.from({ length: PARALLEL_DOWNLOADS }, () =>
      download().catch((error: unknown) => {
        failure ??= { error };
        work.stop.abort(error);
      }),
    ),
  );
  if (failure !== undefined) throw failure.error;
}

function fetchLayer({ layer, blob }: Step, work: Work): Promise<void> {
  return fetchBlob(layer, work, { onPartial: (path) => blob.begin(path), onProgress: (done) => blob.grow(done) });
}

async function fetchBlob(
  { digest, size }: Descriptor,
  { signal, options }: Work,
  watch: Pick<IngestOptions, "onPartial" | "onProgress">,
): Promise<void> {
  signal.throwIfAborted();
  await options.target.content.ingest({
    ...watch,
    digest,
    size,
    signal,
    source: async (offset) => ({ offset, body: options.source.fetchBlob(digest, offset, signal) }),
    onProgress: (doneBytes) => {
      watch.onProgress?.(doneBytes);
      options.onProgress({ kind: "download", digest, doneBytes, totalBytes: size });
    },
  });
}

async function commitLayer(step: Step, work: Work): Promise<void> {
  const { options, resolved, chain, signal } = work;
  const { content, snapshots, keelPath, layerLimits } = options.target;
  const { layer, i, below } = step;
  const { digest } = layer;
  await snapshots.commitLayer({
    chainId: chain[i] as Digest,
    parent: chain[i - 1],
    signal,
    parentDone: async () => {
      await below?.ended.promise;
      signal.throwIfAborted();
    },
    apply: async (dirs) => {
      step.begun.resolve();
      options.onProgress({ kind: "unpack", digest });
      throwFailure(step.blob.end ?? {});
      // keel ends only after the store has verified the blob, so an unverified layer is never committed.
      const blob = step.blob.end === undefined ? step.blob : content.path(digest);
      const diffId = resolved.config.rootfs.diff_ids[i] as Digest;
      try {
        const lowersDone = below?.ended.promise;
        await unpackLayer({ keelPath, layer, diffId, blob, dirs, lowersDone, limits: layerLimits, signal });
      } catch (error) {
        if (isCode(error, "DataLoss") && error.details?.["want"] === digest) content.discard(digest);
        // Bytes that cannot be unpacked may be bytes that are not the layer's: then the download knows better.
        if (BAD_LAYER.some((code) => isCode(error, code))) {
          throwFailure(await step.blob.finished);
        }
        throw error;
      }
    },
  });
  options.onProgress({ kind: "done", digest });
}

/**
 * Everything is durable: make the image visible.
 *
 * @param others blobs that are kept with it
 */
// biome-ignore format: four parameters on one line read better
function record(resolved: Resolved, chain: readonly Digest[], options: ObtainOptions, others: readonly Digest[]): Digest {
  const { manifest, descriptor, config, documents } = resolved;
  const { state } = options.target;
  const id = manifest.config.digest;
  const layers = manifest.layers.map((layer, i) => ({ ...layer, chainId: chain[i] as Digest }));
  const sizeBytes = layers.reduce((sum, layer) => sum + layer.size, manifest.config.size + descriptor.size);
  state.transaction(() => {
    store.addImage(state.db, {
      id,
      manifest: descriptor,
      chainId: chain.at(-1) as Digest,
      sizeBytes,
      createdAtMs: parseCreated(config.created),
      config,
      layers,
      blobs: [...documents, id, ...layers.map((layer) => layer.digest), ...others],
    });
    const rootDigest = documents[0];
    if (options.name !== undefined) store.writeName(state.db, options.name, id, rootDigest);
    if (options.repository !== undefined && rootDigest !== undefined) {
      store.writeRepoDigest(state.db, options.repository, rootDigest, id);
    }
  });
  return id;
}

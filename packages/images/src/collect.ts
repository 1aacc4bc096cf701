import type { Content } from "@berth/content";
import type { Digest } from "@berth/oci";
import type { Snapshots } from "@berth/snapshots";
import type { State } from "@berth/state";
import * as store from "./store.ts";

export interface Stores {
  readonly state: State;
  readonly content: Content;
  readonly snapshots: Snapshots;
  /** Blobs that others than local images need. */
  readonly keptBlobs: () => ReadonlySet<Digest>;
}

export interface Collected {
  readonly blobs: readonly Digest[];
  /** Chain ids. */
  readonly layers: readonly Digest[];
}

/**
 * Mark and sweep, first half: drops the rows of blobs and layers that nobody needs, nothing stands on, and no running
 * pull holds. Call it in the transaction that made them unused; {@link sweep} removes the files after it.
 */
export function collectRows(stores: Stores): Collected {
  const { state, content, snapshots } = stores;
  const usedBlobs = store.listUsedBlobs(state.db).union(stores.keptBlobs());
  const usedLayers = store.listUsedLayers(state.db);
  const blobs = content.list().map((blob) => blob.digest);
  return {
    blobs: content.forget(blobs.filter((digest) => !usedBlobs.has(digest))),
    layers: snapshots.forgetLayers(snapshots.listLayers().filter((chainId) => !usedLayers.has(chainId))),
  };
}

/** Second half: the files. A crash before it leaves what `recover` of both stores finds. */
export async function sweep(stores: Stores, collected: Collected): Promise<void> {
  if (collected.blobs.length > 0) stores.content.sweep(collected.blobs);
  if (collected.layers.length > 0) await stores.snapshots.recover();
}

/** Removes files that a process which died between the two halves left. */
export async function recover(stores: Stores): Promise<void> {
  stores.content.recover();
  await stores.snapshots.recover();
}

import { join } from "node:path";
import * as content from "@berth/content";
import * as snapshots from "@berth/snapshots";
import { openState, type State } from "@berth/state";
import * as images from "../src/index.ts";
import { KEEL } from "./fixture.ts";

export interface Store extends Disposable {
  readonly state: State;
  readonly content: content.Content;
  readonly snapshots: snapshots.Snapshots;
  readonly images: images.Images;
}

/** All of a data root, as the engine opens it. */
export function openStore(root: string, layerLimits?: images.LayerLimits): Store {
  const state = openState(join(root, "berth.db"), [
    ...content.migrations,
    ...snapshots.migrations,
    ...images.migrations,
  ]);
  const blobs = content.openContent({ state, root });
  const layers = snapshots.openSnapshots({ state, root, keelPath: KEEL });
  const limits = layerLimits === undefined ? {} : { layerLimits };
  const options = {
    state,
    content: blobs,
    snapshots: layers,
    keelPath: KEEL,
    inUse: () => new Set<never>(),
    ...limits,
  };
  return {
    state,
    content: blobs,
    snapshots: layers,
    images: images.createImages(options),
    [Symbol.dispose]: () => state[Symbol.dispose](),
  };
}

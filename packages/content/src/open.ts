import type { State } from "@berth/state";
import type { Content } from "./types.ts";

/**
 * Opens the blobs below `root` (the data root: `content/sha256`, `ingest`).
 *
 * @param options.state opened with this package's `migrations`
 */
export function openContent(options: { readonly state: State; readonly root: string }): Content {
  throw new Error(`not there yet: ${options.root}`);
}

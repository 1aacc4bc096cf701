import type { State } from "@berth/state";
import type { Snapshots } from "./types.ts";

/**
 * Opens the overlayfs snapshots below `root` (the data root: `snapshots/<n>/{fs,work}`).
 *
 * @param options.state opened with this package's `migrations`
 */
export function openSnapshots(options: { readonly state: State; readonly root: string }): Snapshots {
  throw new Error(`not there yet: ${options.root}`);
}

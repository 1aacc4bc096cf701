import type { Content } from "@berth/content";
import type { Digest } from "@berth/oci";
import type { Snapshots } from "@berth/snapshots";
import type { State } from "@berth/state";
import type { Images } from "./types.ts";

export interface ImagesOptions {
  /** Opened with the `migrations` of content, snapshots and images (one list, any order). */
  readonly state: State;
  readonly content: Content;
  readonly snapshots: Snapshots;
  /** Absolute path of the keel binary; used by pull and load only. */
  readonly keelPath: string;
  /** Ids of images that containers use; asked by remove only. */
  readonly inUse: () => ReadonlySet<Digest>;
  /** Registry hosts (`host[:port]`) that may be spoken to by plain HTTP; loopback always may. */
  readonly insecureRegistries?: readonly string[];
  /** PEM file of extra certificate authorities for every registry (besides the system's and certs.d). */
  readonly caFile?: string;
  /** Limit of one unpacked layer's tar stream, bytes; default 64 GiB. */
  readonly maxLayerBytes?: number;
}

/**
 * The image store on an opened database, content store and snapshotter. Cheap: nothing is read until a method is called,
 * and network code is loaded by `pull` only.
 */
export function createImages(options: ImagesOptions): Images {
  throw new Error(`not there yet: ${options.keelPath}`);
}

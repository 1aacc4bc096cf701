import type { mountFuse } from "./fuse.ts";
import type { makeMapped, mountMapped } from "./mapped.ts";
import type { addUserNamespace } from "./userns.ts";

/** What few containers need of the host. The monitor needs it too, which has no image: it shares nothing with that. */
export interface Uncommon {
  readonly mountFuse: typeof mountFuse;
  readonly makeMapped: typeof makeMapped;
  readonly mountMapped: typeof mountMapped;
  readonly addUserNamespace: typeof addUserNamespace;
}

declare global {
  var keelUncommon: Uncommon | undefined;
}

/** Loads it at the first call (entry/uncommon.ts). */
export function uncommon(): Uncommon {
  if (!globalThis.keelUncommon) sys.loadModule("uncommon");
  return globalThis.keelUncommon as unknown as Uncommon;
}

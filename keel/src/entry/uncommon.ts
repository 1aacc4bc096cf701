// The module behind host/uncommon.ts.
import { mountFuse } from "../host/fuse.ts";
import { makeMapped, mountMapped } from "../host/mapped.ts";
import { addUserNamespace } from "../host/userns.ts";

globalThis.keelUncommon = { mountFuse, makeMapped, mountMapped, addUserNamespace };

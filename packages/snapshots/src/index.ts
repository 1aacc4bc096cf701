export { usageOf as treeBytes } from "./files.ts";
export { openSnapshots } from "./open.ts";
export { mapId } from "./plan.ts";
export { migrations } from "./store.ts";
export type * from "./types.ts";

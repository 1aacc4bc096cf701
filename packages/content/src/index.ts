export { digestOf } from "./digest.ts";
export { openContent } from "./open.ts";
export { migrations } from "./store.ts";
export type * from "./types.ts";

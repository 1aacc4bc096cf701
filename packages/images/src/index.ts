export { createImages, type ImagesOptions } from "./open.ts";
export { migrations } from "./store.ts";
export type * from "./types.ts";

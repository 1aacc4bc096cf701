export { openRepositories } from "./open.ts";
export { migrations } from "./store.ts";
export type * from "./types.ts";

export { openState } from "./open.ts";
export type * from "./types.ts";

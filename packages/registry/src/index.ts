export { isLoopback } from "./endpoint.ts";
export { openRegistry } from "./open.ts";
export type * from "./types.ts";

export { openArchive } from "./open.ts";
export { type Compression, detectCompression } from "./spool.ts";
export type * from "./types.ts";

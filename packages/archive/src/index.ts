export { openArchive } from "./open.ts";
export { readOpen } from "./read.ts";
export { type Compression, detectCompression, spool } from "./spool.ts";
export type * from "./types.ts";
export { formatTar, writeDirectory, writeFileWhole } from "./write.ts";

export { exitCodeOf, GRPC_STATUS, HTTP_STATUS } from "./codes.ts";
export { formatDuration, parseDuration, pause } from "./duration.ts";
export { BerthError, type BerthErrorOptions, errnoOf, isCode } from "./error.ts";
export { newId, randomBytes, shortId } from "./id.ts";
export { formatBinaryBytes, formatBytes, parseBytes } from "./size.ts";

export { removeCredentials, saveCredentials } from "./credentials.ts";
export { isLoopback } from "./endpoint.ts";
export { openRegistry } from "./open.ts";
export { referrersTag } from "./referrers.ts";
export type * from "./types.ts";

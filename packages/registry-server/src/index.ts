export { openRegistryServer } from "./listen.ts";
export type { RegistryServer, RegistryServerOptions } from "./types.ts";

export { readHostResolvConf } from "./host.ts";
export { type HostsInput, planHosts } from "./hosts.ts";
export { type NetworksOptions, openNetworks } from "./open.ts";
export { planResolvConf, type ResolvConfInput } from "./resolv.ts";
export type * from "./types.ts";

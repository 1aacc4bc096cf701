/** What speaks to registries; loaded by `loadHosts`. */
export { Hosts } from "./hosts.ts";
export { sourceOf } from "./source.ts";
export { transfer } from "./transfer.ts";

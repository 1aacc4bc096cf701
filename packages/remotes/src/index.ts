export { parseName } from "./names.ts";
export { createRemotes, type RemotesOptions } from "./open.ts";
export type { Source } from "./source.ts";
export { migrations } from "./store.ts";
export type * from "./types.ts";

/** The parts that speak to registries, for pull and push: they are most of this package, and most commands need none. */
export function loadHosts(): Promise<typeof import("./speak.ts")> {
  return import("./speak.ts");
}

/** The rules that check-layers.ts enforces: ARCHITECTURE.md "Ranks". A new package or edge needs a decision record. */

/** Rank of every workspace; an import may only go to a strictly lower rank. */
export const RANKS: Readonly<Record<string, number>> = {
  protocol: 0,
  base: 1,
  oci: 2,
  config: 2,
  linux: 2,
  state: 2,
  content: 3,
  registry: 3,
  archive: 3,
  volumes: 3,
  networks: 3,
  microvm: 3,
  snapshots: 4,
  sandboxes: 4,
  tasks: 4,
  repositories: 4,
  remotes: 4,
  images: 5,
  containers: 5,
  engine: 6,
  "registry-server": 7,
  cri: 7,
  "docker-api": 7,
  builder: 7,
  security: 7,
  compose: 8,
  kube: 8,
  cli: 9,
  serve: 9,
  dashboard: 9,
};

/** Packages that must stay free of input and output, but for the kernel's random bytes: all Node.js modules they may import. */
export const PURE: Readonly<Record<string, readonly string[]>> = {
  protocol: [],
  base: ["node:fs", "node:util"],
  oci: [],
};

/** keel is an island: it runs in Duktape, and the engine reaches it by command line and socket only. */
export const KEEL = "keel";
export const KEEL_MAY_IMPORT: readonly string[] = ["protocol"];
export const KEEL_MAY_IMPORT_TYPES: readonly string[] = ["oci"];

export { MAX_CONFIG_BYTES, parseImageConfig } from "./config.ts";
export { algorithmOf, hexOf, isDigest, parseDigest } from "./digest.ts";
export { type DockerArchiveImage, parseDockerArchive } from "./docker-archive.ts";
export { type Index, MAX_MANIFEST_BYTES, type Manifest, parseManifest } from "./manifest.ts";
export {
  CONFIG_TYPES,
  INDEX_TYPES,
  isDistributed,
  isLayerType,
  MANIFEST_TYPES,
  OCI_CONFIG,
  OCI_LAYER,
  OCI_MANIFEST,
} from "./media-types.ts";
export {
  architectureOf,
  formatPlatform,
  parsePlatform,
  rankManifests,
  rankPlatform,
} from "./platform.ts";
export {
  familiarName,
  formatReference,
  isRepositoryPath,
  isTag,
  parseReference,
  type Reference,
  repositoryOf,
} from "./reference.ts";
export {
  MAX_NESTING,
  nestedTooDeep,
  noPlatform,
  type ReadDocument,
  rankConfig,
  type Searched,
  type SearchOptions,
  searchIndex,
} from "./search.ts";
export { parseStoredManifest, type StoredManifest } from "./stored.ts";
export type * from "./types.ts";

import { Reader } from "./json.ts";

const MAX_ARCHIVE_MANIFEST_BYTES = 8 * 1024 * 1024;

/** One image of a docker archive: names of members of the tar. */
export interface DockerArchiveImage {
  /** Member that holds the image configuration. */
  readonly config: string;
  readonly repoTags: readonly string[];
  /** Members that hold the layers' tars, lowest first. */
  readonly layers: readonly string[];
}

/**
 * Reads `manifest.json` of what `docker save` writes.
 *
 * @throws {BerthError} InvalidArgument
 */
export function parseDockerArchive(bytes: Uint8Array, what: string): readonly DockerArchiveImage[] {
  const reader = new Reader(what);
  const images = reader.array(reader.parseAny(bytes, MAX_ARCHIVE_MANIFEST_BYTES), "", 1000);
  return images.map((value, i) => {
    const doc = reader.object(value, `[${i}]`);
    const layers = doc["Layers"] ?? [];
    return {
      config: reader.string(doc["Config"], `[${i}].Config`, 4096),
      repoTags: reader.strings(doc["RepoTags"] ?? [], `[${i}].RepoTags`),
      layers: reader
        .array(layers, `[${i}].Layers`, 500)
        .map((name, j) => reader.string(name, `[${i}].Layers[${j}]`, 4096)),
    };
  });
}

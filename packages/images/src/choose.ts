import type { Content } from "@berth/content";
import { type Descriptor, type Digest, type ImageConfig, parseStoredManifest } from "@berth/oci";
import { notHere } from "./errors.ts";
import { fetchDocuments } from "./platforms.ts";
import { storedSource } from "./push.ts";
import { type ResolveOptions, resolve } from "./resolve.ts";
import type { Root } from "./source.ts";
import type { Image, PlatformChoice } from "./types.ts";

/** What of an image is saved or pushed. */
export interface Chosen {
  /** Manifest, or index with all that it leads to. */
  readonly root: Descriptor;
  /** The one image that a format without indexes tells. */
  readonly id: Digest;
  readonly config: ImageConfig;
  readonly layers: readonly Descriptor[];
  /** Every blob, documents included. */
  readonly blobs: readonly Digest[];
}

/**
 * @param root index or manifest that the image's name leads to; undefined: the image's manifest
 * @throws {BerthError} NotFound: the index has no such platform; FailedPrecondition: what is asked for was not pulled
 */
export async function choose(
  content: Content,
  image: Image,
  root: Digest | undefined,
  options: PlatformChoice,
): Promise<Chosen> {
  const { id, config, layers, manifest } = image;
  const own = toChosen(manifest, id, config, layers);
  if (options.platform === undefined && !options.allPlatforms) return own;
  const what = image.names[0] ?? id;
  const isHere = (digest: Digest): void => {
    if (!content.has(digest)) throw notHere(what, digest);
  };
  const stored = storedSource(content);
  const search: ResolveOptions = {
    content,
    source: {
      what,
      fetchManifest: (digest, signal) => {
        isHere(digest);
        return stored.fetchManifest(digest, signal);
      },
      fetchBlob: (digest, offset, signal) => {
        isHere(digest);
        return stored.fetchBlob(digest, offset, signal);
      },
    },
    platform: options.platform,
    hold: () => {},
    signal: new AbortController().signal,
  };
  const digest = root ?? manifest.digest;
  isHere(digest);
  const bytes = content.read(digest);
  const contentType = parseStoredManifest(bytes, `manifest ${digest} of ${what}`, "").mediaType;
  const from = { bytes, contentType, digest };
  const one = options.platform === undefined ? own : await chooseOne(from, search);
  const chosen = options.allPlatforms ? { ...one, ...(await chooseAll(from, search)) } : one;
  chosen.blobs.forEach(isHere);
  return chosen;
}

function toChosen(root: Descriptor, id: Digest, config: ImageConfig, layers: readonly Descriptor[]): Chosen {
  return { root, id, config, layers, blobs: [root.digest, id, ...layers.map((layer) => layer.digest)] };
}

async function chooseOne(from: Root, search: ResolveOptions): Promise<Chosen> {
  const { descriptor, manifest, config } = await resolve(from, search);
  return toChosen(descriptor, manifest.config.digest, config, manifest.layers);
}

async function chooseAll(from: Required<Root>, search: ResolveOptions): Promise<Pick<Chosen, "root" | "blobs">> {
  const { documents, blobs } = await fetchDocuments(from, search);
  const root = { mediaType: from.contentType, digest: from.digest, size: from.bytes.length };
  return { root, blobs: [...documents, ...blobs.map((blob) => blob.digest)] };
}

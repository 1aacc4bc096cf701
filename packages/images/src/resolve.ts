import { readFileSync } from "node:fs";
import { type Content, digestOf } from "@berth/content";
import {
  algorithmOf,
  architectureOf,
  CONFIG_TYPES,
  type Descriptor,
  type Digest,
  formatPlatform,
  type ImageConfig,
  isLayerType,
  MAX_CONFIG_BYTES,
  type Manifest,
  noPlatform,
  type Platform,
  parseImageConfig,
  parseManifest,
  parsePlatform,
  type ReadDocument,
  rankConfig,
  searchIndex,
} from "@berth/oci";
import { foreignSystem, layerCount, notAnImage, wrongDigest, wrongSize } from "./errors.ts";
import { planAmd64Variant } from "./plan.ts";
import type { Root, Source } from "./source.ts";

/** The image of one platform, its documents stored and verified. */
export interface Resolved {
  readonly manifest: Manifest;
  readonly descriptor: Descriptor;
  readonly config: ImageConfig;
  /** Indexes and manifest on the way, outermost first. */
  readonly documents: readonly Digest[];
}

/** This host as images see it. */
export function hostPlatform(): Platform {
  const architecture = architectureOf(process.arch);
  if (architecture !== "amd64") return { os: "linux", architecture };
  const flags = /^flags\s*:(.*)$/m.exec(readFileSync("/proc/cpuinfo", "latin1"))?.[1] ?? "";
  return { os: "linux", architecture, variant: planAmd64Variant(new Set(flags.split(" "))) };
}

export interface ResolveOptions {
  readonly content: Content;
  readonly source: Source;
  /** `os/arch[/variant]`; undefined: this host. */
  readonly platform: string | undefined;
  /** Called with digests before the store is asked for them. */
  readonly hold: (names: readonly Digest[]) => void;
  readonly signal: AbortSignal;
}

/** Follows a root to the manifest and configuration of the wanted platform. */
export async function resolve(root: Root, options: ResolveOptions): Promise<Resolved> {
  const { source, content, hold } = options;
  const { what } = source;
  const host = hostPlatform();
  const want = options.platform === undefined ? host : parsePlatform(options.platform, host);
  const { documents, isTold } = await findManifest(root, want, options);
  const { bytes, mediaType, digest } = documents.at(-1) as ReadDocument;
  const manifest = parseManifest(bytes, `manifest ${digest} of ${what}`, mediaType);
  if (manifest.kind !== "manifest") throw new TypeError(`${digest} is an index`);
  const config = await fetchConfig(manifest, options);
  if (config.os !== "linux") throw foreignSystem(what, config.os || formatPlatform(config));
  // An index has the last word: configurations often leave the variant out. An image that no index offers is taken
  // whatever its architecture (it may run by emulation) unless one was asked for.
  if (!isTold && options.platform !== undefined && rankConfig(want, config) === undefined)
    throw noPlatform(what, want, [config]);
  hold(documents.map((document) => document.digest));
  return {
    manifest,
    descriptor: { mediaType: manifest.mediaType, digest, size: bytes.length },
    config,
    documents: documents.map((document) => content.put(document.bytes, algorithmOf(document.digest))),
  };
}

/** The manifest of a platform, and the indexes on the way to it. */
async function findManifest(
  { bytes, contentType = "", digest = digestOf(bytes) }: Root,
  want: Platform,
  options: ResolveOptions,
): Promise<{ readonly documents: readonly ReadDocument[]; readonly isTold: boolean }> {
  const { what } = options.source;
  const root = { bytes, digest, mediaType: contentType };
  const document = parseManifest(bytes, `manifest ${digest} of ${what}`, contentType);
  if (document.kind === "manifest") return { documents: [root], isTold: false };
  const { documents, isTold, have } = await searchIndex(root, document, {
    what,
    want,
    read: async (entry) => (await fetchDocument(entry, options)).bytes,
    platformOf: async (manifest) =>
      CONFIG_TYPES.includes(manifest.config.mediaType) ? await fetchConfig(manifest, options) : undefined,
  });
  if (documents === undefined) throw noPlatform(what, want, have);
  return { documents, isTold };
}

async function fetchDocument(entry: Descriptor, options: ResolveOptions): Promise<Root> {
  const { content, source, hold, signal } = options;
  hold([entry.digest]);
  if (content.has(entry.digest)) return { bytes: content.read(entry.digest), contentType: entry.mediaType };
  const fetched = await source.fetchManifest(entry.digest, signal);
  verify(entry, fetched.bytes);
  return fetched;
}

/** Throws unless the bytes are those that the descriptor tells. */
export function verify(entry: Descriptor, bytes: Buffer): void {
  if (bytes.length !== entry.size) throw wrongSize(entry, bytes.length);
  const got = digestOf(bytes, algorithmOf(entry.digest));
  if (got !== entry.digest) throw wrongDigest(entry.digest, got);
}

async function fetchConfig(manifest: Manifest, options: ResolveOptions): Promise<ImageConfig> {
  const { content, source, hold, signal } = options;
  const { config, layers } = manifest;
  if (!CONFIG_TYPES.includes(config.mediaType))
    throw notAnImage(source.what, manifest.artifactType ?? config.mediaType);
  const odd = layers.find((layer) => !isLayerType(layer.mediaType));
  if (odd !== undefined) throw notAnImage(source.what, odd.mediaType);
  if (config.size > MAX_CONFIG_BYTES) throw wrongSize({ ...config, size: MAX_CONFIG_BYTES }, config.size);
  hold([config.digest]);
  await content.ingest({
    digest: config.digest,
    size: config.size,
    source: async (offset) => ({ offset, body: source.fetchBlob(config.digest, offset, signal) }),
    signal,
  });
  const parsed = parseImageConfig(content.read(config.digest), `config ${config.digest} of ${source.what}`);
  const diffIds = parsed.rootfs.diff_ids.length;
  if (diffIds !== layers.length || diffIds === 0) throw layerCount(source.what, layers.length, diffIds);
  return parsed;
}

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
  type Platform,
  parseImageConfig,
  parseManifest,
  parsePlatform,
  rankManifests,
  rankPlatform,
} from "@berth/oci";
import { foreignSystem, layerCount, nestedTooDeep, noPlatform, notAnImage, wrongDigest, wrongSize } from "./errors.ts";
import { planAmd64Variant } from "./plan.ts";
import type { Root, Source } from "./source.ts";

/** Indexes in indexes. */
export const MAX_NESTING = 4;
/** Documents that are read in search of a platform. */
const MAX_TRIED = 100;

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
  const host = hostPlatform();
  const want = options.platform === undefined ? host : parsePlatform(options.platform, host);
  const have: Platform[] = [];
  const path = await findManifest(root, { options, want, have, budget: MAX_TRIED }, []);
  if (path === undefined) throw noPlatform(options.source.what, want, have);
  const { document, config, bytes } = path.found;
  const digest = path.documents.at(-1) as Digest;
  const descriptor = { mediaType: document.mediaType, digest, size: bytes.length };
  return { manifest: document, descriptor, config, documents: path.documents };
}

interface Search {
  readonly options: ResolveOptions;
  readonly want: Platform;
  /** Platforms that were met, for the message. */
  readonly have: Platform[];
  /** Documents that may still be read: indexes that name indexes could keep us busy for ever. */
  budget: number;
}

interface FoundManifest {
  readonly documents: readonly Digest[];
  readonly found: { readonly document: Manifest; readonly config: ImageConfig; readonly bytes: Buffer };
}

/** Goes down into indexes, the best match first; undefined: nothing below has the platform. */
async function findManifest(
  { bytes, contentType, digest = digestOf(bytes) }: Root,
  search: Search,
  above: readonly Digest[],
  platform?: Platform,
): Promise<FoundManifest | undefined> {
  const { options, want, have } = search;
  const { content, source, hold } = options;
  if (above.length > MAX_NESTING || search.budget-- === 0) throw nestedTooDeep(source.what);
  const document = parseManifest(bytes, `manifest ${digest} of ${source.what}`, contentType);
  hold([digest]);
  const documents = [...above, content.put(bytes, algorithmOf(digest))];
  if (document.kind === "manifest") {
    const config = await fetchConfig(document, options);
    if (config.os !== "linux") throw foreignSystem(source.what, config.os || formatPlatform(config));
    // An index has the last word: configurations often leave the variant out. An image that no index offers is taken
    // whatever its architecture (it may run by emulation) unless one was asked for.
    if (platform !== undefined || options.platform === undefined || isOfPlatform(config, want))
      return { documents, found: { document, config, bytes } };
    have.push(config);
    return undefined;
  }
  have.push(...document.manifests.flatMap((entry) => (entry.platform?.os === "unknown" ? [] : (entry.platform ?? []))));
  for (const entry of rankManifests(document.manifests, want)) {
    const found = await findManifest(
      { ...(await fetchDocument(entry, options)), digest: entry.digest },
      search,
      documents,
      entry.platform,
    );
    if (found !== undefined) return found;
  }
  return undefined;
}

/** A configuration that names no variant may be of any. */
export function isOfPlatform(config: Platform, want: Platform): boolean {
  const { variant = want.variant, ...platform } = config;
  return rankPlatform(want, variant === undefined ? platform : { ...platform, variant }) !== undefined;
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

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
  rankPlatform,
  selectManifest,
} from "@berth/oci";
import { foreignSystem, layerCount, nestedTooDeep, noPlatform, notAnImage, wrongDigest, wrongSize } from "./errors.ts";
import { planAmd64Variant } from "./plan.ts";
import type { Root, Source } from "./source.ts";

const MAX_NESTING = 4;

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
  const { content, source, hold } = options;
  const host = hostPlatform();
  const want = options.platform === undefined ? host : parsePlatform(options.platform, host);
  const documents: Digest[] = [];
  let { bytes, contentType, digest = digestOf(bytes) } = root;
  for (let depth = 0; ; depth++) {
    const document = parseManifest(bytes, `manifest ${digest} of ${source.what}`, contentType);
    hold([digest]);
    documents.push(content.put(bytes, algorithmOf(digest)));
    if (document.kind === "manifest") {
      const config = await fetchConfig(document, options);
      checkPlatform(config, want, options);
      const descriptor = { mediaType: document.mediaType, digest, size: bytes.length };
      return { manifest: document, descriptor, config, documents };
    }
    if (depth === MAX_NESTING) throw nestedTooDeep(source.what);
    const entry = selectManifest(document.manifests, want);
    if (entry === undefined) {
      const have = document.manifests.map((m) => m.platform).filter((p) => p !== undefined && p.os !== "unknown");
      throw noPlatform(source.what, want, have as readonly Platform[]);
    }
    ({ bytes, contentType = "" } = await fetchDocument(entry, options));
    digest = entry.digest;
  }
}

async function fetchDocument(entry: Descriptor, options: ResolveOptions): Promise<Root> {
  const { content, source, hold, signal } = options;
  hold([entry.digest]);
  if (content.has(entry.digest)) return { bytes: content.read(entry.digest), contentType: entry.mediaType };
  const fetched = await source.fetchManifest(entry.digest, signal);
  if (fetched.bytes.length !== entry.size) throw wrongSize(entry, fetched.bytes.length);
  const got = digestOf(fetched.bytes, algorithmOf(entry.digest));
  if (got !== entry.digest) throw wrongDigest(entry.digest, got);
  return fetched;
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

/** An image that no index offered: another architecture is taken (it may run by emulation) unless one was asked for. */
function checkPlatform(config: ImageConfig, want: Platform, options: ResolveOptions): void {
  if (config.os !== "linux") throw foreignSystem(options.source.what, config.os || formatPlatform(config));
  const isAsked = options.platform !== undefined;
  if (isAsked && rankPlatform(want, config) === undefined) throw noPlatform(options.source.what, want, [config]);
}

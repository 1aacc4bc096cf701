import { createHash } from "node:crypto";
import { type Archive, detectCompression, openArchive } from "@berth/archive";
import { type BerthError, isCode } from "@berth/base";
import { digestOf } from "@berth/content";
import {
  algorithmOf,
  type Descriptor,
  type Digest,
  type DockerArchiveImage,
  hexOf,
  INDEX_TYPES,
  type Index,
  MANIFEST_TYPES,
  MAX_CONFIG_BYTES,
  MAX_MANIFEST_BYTES,
  OCI_CONFIG,
  OCI_LAYER,
  OCI_MANIFEST,
  parseDockerArchive,
  parseImageConfig,
  parseManifest,
  parsePlatform,
  rankManifests,
  rankPlatform,
} from "@berth/oci";
import { recover } from "./collect.ts";
import { layerCount, nothingToLoad, wrongDigest } from "./errors.ts";
import { obtain, type Target } from "./obtain.ts";
import { planName } from "./plan.ts";
import { hostPlatform } from "./resolve.ts";
import type { Root, Source } from "./source.ts";
import type { PullOptions } from "./types.ts";

/** One image of an archive, ready to be obtained. */
interface Found {
  readonly root: Root;
  readonly names: readonly (string | undefined)[];
  /** Member that holds a blob. */
  readonly memberOf: (digest: Digest) => string;
}

/** Reads all images of an archive into the store; returns their ids. */
export async function load(path: string, target: Target, options: PullOptions): Promise<readonly Digest[]> {
  await recover(target);
  const { content, layerLimits } = target;
  const limits = { maxBytes: layerLimits.bytes, maxRatio: layerLimits.ratio };
  using archive = await openArchive(path, { spoolDir: content.spoolDir, ...limits, signal: options.signal });
  const isLayout = archive.size("oci-layout") !== undefined && archive.size("index.json") !== undefined;
  const isDocker = archive.size("manifest.json") !== undefined;
  if (!isLayout && !isDocker) throw nothingToLoad(path);
  const found = isLayout ? findLayoutImages(archive, options.platform) : await findDockerImages(archive);
  const ids = new Set<Digest>();
  let skipped: BerthError | undefined;
  for (const image of found) {
    try {
      for (const name of image.names) ids.add(await obtainFrom(archive, image, name, target, options));
    } catch (error) {
      // An artifact beside images (a signature, an attestation) is no reason to refuse them.
      if (!isCode(error, "FailedPrecondition") || found.length === 1) throw error;
      skipped = error;
    }
  }
  if (ids.size === 0) throw skipped ?? nothingToLoad(path);
  return [...ids];
}

// biome-ignore format: five parameters on one line read better
function obtainFrom(archive: Archive, image: Found, name: string | undefined, target: Target, options: PullOptions): Promise<Digest> {
  const source: Source = {
    what: name ?? archive.path,
    fetchManifest: async (digest) => ({ bytes: archive.readAll(image.memberOf(digest), MAX_MANIFEST_BYTES) }),
    fetchBlob: (digest, offset) => archive.read(image.memberOf(digest), offset),
  };
  const { platform, allPlatforms, signal, onProgress = () => {} } = options;
  return obtain(image.root, { target, source, platform, allPlatforms, name, repository: undefined, onProgress, signal });
}

/** Images of an OCI layout (image-spec "OCI Image Layout Specification"). */
function findLayoutImages(archive: Archive, platform: string | undefined): readonly Found[] {
  const index = parseManifest(
    archive.readAll("index.json", MAX_MANIFEST_BYTES),
    `index.json of ${archive.path}`,
    INDEX_TYPES[0],
  );
  if (index.kind !== "index") throw nothingToLoad(archive.path);
  const memberOf = (digest: Digest): string => `blobs/${algorithmOf(digest)}/${hexOf(digest)}`;
  return choose(index, platform).map((entry) => {
    const bytes = archive.readAll(memberOf(entry.digest), MAX_MANIFEST_BYTES);
    const got = digestOf(bytes, algorithmOf(entry.digest));
    if (got !== entry.digest) throw wrongDigest(entry.digest, got);
    return {
      root: { bytes, contentType: entry.mediaType, digest: entry.digest },
      names: [planName(nameOf(entry))],
      memberOf,
    };
  });
}

/**
 * Entries that may be images. Where some name the wanted platform, those of other platforms are left out, and of those with
 * one name, or with none, the best is the image.
 */
function choose(index: Index, platform: string | undefined): readonly Descriptor[] {
  const host = hostPlatform();
  const want = platform === undefined ? host : parsePlatform(platform, host);
  const entries = index.manifests.filter((entry) => [...INDEX_TYPES, ...MANIFEST_TYPES].includes(entry.mediaType));
  const told = entries.filter(({ platform: own }) => own !== undefined && rankPlatform(want, own) !== undefined);
  if (told.length === 0) return entries;
  const best = new Set(
    Map.groupBy(told, nameOf)
      .values()
      .map((same) => rankManifests(same, want)[0]),
  );
  return entries.filter((entry) => entry.platform === undefined || best.has(entry));
}

function nameOf({ annotations = {} }: Descriptor): string | undefined {
  return annotations["io.containerd.image.name"] ?? annotations["org.opencontainers.image.ref.name"];
}

/** Images of what `docker save` wrote before it wrote OCI layouts; a manifest is made for each. */
async function findDockerImages(archive: Archive): Promise<readonly Found[]> {
  const images = parseDockerArchive(
    archive.readAll("manifest.json", MAX_MANIFEST_BYTES),
    `manifest.json of ${archive.path}`,
  );
  return await Promise.all(images.map((image) => planDockerImage(archive, image)));
}

async function planDockerImage(archive: Archive, image: DockerArchiveImage): Promise<Found> {
  const what = image.repoTags[0] ?? `${image.config} of ${archive.path}`;
  const bytes = archive.readAll(image.config, MAX_CONFIG_BYTES);
  const diffIds = parseImageConfig(bytes, `config of ${what}`).rootfs.diff_ids;
  if (diffIds.length !== image.layers.length) throw layerCount(what, image.layers.length, diffIds.length);
  const config = { mediaType: OCI_CONFIG, digest: digestOf(bytes), size: bytes.length };
  const members = new Map<Digest, string>([[config.digest, image.config]]);
  const layers: Descriptor[] = [];
  for (const [i, member] of image.layers.entries()) {
    const digest = await layerDigest(archive, member, diffIds[i] as Digest);
    members.set(digest, member);
    layers.push({ mediaType: OCI_LAYER, digest, size: archive.size(member) ?? 0 });
  }
  const manifest = JSON.stringify({ schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers });
  const names = image.repoTags.length === 0 ? [undefined] : image.repoTags.map(planName);
  return {
    root: { bytes: Buffer.from(manifest), contentType: OCI_MANIFEST },
    names,
    memberOf: (digest) => members.get(digest) ?? "",
  };
}

/** A plain tar's digest is its diff id (verified when it is stored); a compressed one must be read for it. */
async function layerDigest(archive: Archive, member: string, diffId: Digest): Promise<Digest> {
  const hash = createHash("sha256");
  let isFirst = true;
  for await (const chunk of archive.read(member)) {
    if (isFirst && detectCompression(chunk) === "none") return diffId;
    isFirst = false;
    hash.update(chunk);
  }
  return `sha256:${hash.digest("hex")}` as Digest;
}

import { BerthError } from "@berth/base";
import { type Index, type Manifest, parseManifest } from "./manifest.ts";
import { INDEX_TYPES, MANIFEST_TYPES } from "./media-types.ts";
import { formatPlatform, rankManifests, rankPlatform } from "./platform.ts";
import type { Descriptor, Digest, Platform } from "./types.ts";

/** Documents between a root index and a manifest, the manifest included. */
export const MAX_NESTING = 4;
/** Nested documents that are read in search of one platform: indexes that name indexes could keep us busy for ever. */
const MAX_READ = 100;
const MAX_READ_BYTES: number = 32 * 1024 * 1024;

/** A manifest or index with the digest that it was asked for by. */
export interface ReadDocument {
  readonly bytes: Buffer;
  readonly digest: Digest;
  readonly mediaType: string;
}

export interface SearchOptions {
  /** For messages: the image as the user named it. */
  readonly what: string;
  readonly want: Platform;
  /** The bytes of an index or manifest, verified. */
  readonly read: (entry: Descriptor) => Promise<Buffer>;
  /** What the configuration of an image says; undefined: the manifest is of no image. */
  readonly platformOf: (manifest: Manifest) => Promise<Platform | undefined>;
}

/** What an index has for a platform. */
export interface Searched {
  /** Indexes on the way, outermost first, and the manifest; undefined: there is none. */
  readonly documents: readonly ReadDocument[] | undefined;
  /** Whether the index told the manifest's platform, or only its configuration. */
  readonly isTold: boolean;
  /** Platforms that were met, for the message. */
  readonly have: readonly Platform[];
}

interface Candidate {
  readonly entry: Descriptor;
  readonly path: readonly ReadDocument[];
  readonly rank: number;
}

interface Search {
  readonly options: SearchOptions;
  readonly have: Platform[];
  readonly seen: Set<Digest>;
  readonly left: { documents: number; bytes: number };
  best: Candidate | undefined;
  /** Why a document could not be read: an index need not have all that it names (image-spec "sparse" indexes). */
  missing: BerthError | undefined;
  /** Manifests whose platform only their configuration tells. */
  readonly untold: Omit<Candidate, "rank">[];
}

/**
 * Finds the manifest that suits a platform best in an index and all indexes in it, the first on ties. In each index the
 * entries with the better platform are looked at first, and nested indexes are read only as long as they might have a better
 * one. Manifests without a platform count when no other suits: their configurations are asked. Entries of types that nobody
 * knows are passed over (image-spec "mediaType").
 *
 * @throws {BerthError} InvalidArgument for indexes that name each other, are nested too deep or are too many
 */
export async function searchIndex(root: ReadDocument, index: Index, options: SearchOptions): Promise<Searched> {
  const left = { documents: MAX_READ, bytes: MAX_READ_BYTES };
  const seen = new Set([root.digest]);
  const search: Search = { options, have: [], seen, left, best: undefined, missing: undefined, untold: [] };
  await collect(index, [root], search);
  const { best, have } = search;
  if (best !== undefined) return { documents: [...best.path, await read(best.entry, search)], isTold: true, have };
  const documents = await askConfigs(search);
  if (documents === undefined && search.missing !== undefined) throw search.missing;
  return { documents, isTold: false, have };
}

/** How well an image suits by its configuration; one that names no variant may be of any. */
export function rankConfig(want: Platform, config: Platform): number | undefined {
  const { variant = want.variant, ...platform } = config;
  return rankPlatform(want, variant === undefined ? platform : { ...platform, variant });
}

async function collect(index: Index, path: readonly ReadDocument[], search: Search): Promise<void> {
  const { what, want } = search.options;
  search.have.push(...index.manifests.flatMap(({ platform }) => (platform?.os === "unknown" ? [] : (platform ?? []))));
  for (const entry of rankManifests(index.manifests, want)) {
    if (search.best?.rank === 0) return;
    const isIndex = INDEX_TYPES.includes(entry.mediaType);
    if (!isIndex && !MANIFEST_TYPES.includes(entry.mediaType)) continue;
    if (path.some(({ digest }) => digest === entry.digest)) throw inCircles(what, entry.digest);
    if (path.length > MAX_NESTING) throw nestedTooDeep(what);
    if (isIndex) await descend(entry, path, search);
    else if (entry.platform === undefined) search.untold.push({ entry, path });
    else keepBetter({ entry, path, rank: rankPlatform(want, entry.platform) ?? Number.POSITIVE_INFINITY }, search);
  }
}

async function descend(entry: Descriptor, path: readonly ReadDocument[], search: Search): Promise<void> {
  if (search.seen.has(entry.digest)) return;
  search.seen.add(entry.digest);
  const document = await find(entry, search);
  if (document === undefined) return;
  const parsed = parse(document, search);
  if (parsed.kind !== "index") throw new TypeError("an index type has the fields of a manifest");
  await collect(parsed, [...path, document], search);
}

function keepBetter(candidate: Candidate, search: Search): void {
  if (search.best === undefined || candidate.rank < search.best.rank) search.best = candidate;
}

async function askConfigs(search: Search): Promise<readonly ReadDocument[] | undefined> {
  const { want, platformOf } = search.options;
  let best: { readonly documents: readonly ReadDocument[]; readonly rank: number } | undefined;
  for (const { entry, path } of search.untold) {
    const document = await find(entry, search);
    if (document === undefined) continue;
    const manifest = parse(document, search);
    const platform = manifest.kind === "manifest" ? await platformOf(manifest) : undefined;
    if (platform === undefined) continue;
    search.have.push(platform);
    const rank = rankConfig(want, platform);
    if (rank !== undefined && rank < (best?.rank ?? Number.POSITIVE_INFINITY))
      best = { documents: [...path, document], rank };
    if (rank === 0) break;
  }
  return best?.documents;
}

function parse({ bytes, digest, mediaType }: ReadDocument, { options }: Search): Manifest | Index {
  return parseManifest(bytes, `manifest ${digest} of ${options.what}`, mediaType);
}

async function find(entry: Descriptor, search: Search): Promise<ReadDocument | undefined> {
  try {
    return await read(entry, search);
  } catch (error) {
    if (!(error instanceof BerthError && ["NotFound", "FailedPrecondition"].includes(error.code))) throw error;
    search.missing ??= error;
    return undefined;
  }
}

async function read(entry: Descriptor, { options, left }: Search): Promise<ReadDocument> {
  left.documents--;
  left.bytes -= entry.size;
  if (left.documents < 0 || left.bytes < 0) throw tooMany(options.what);
  const { digest, mediaType } = entry;
  return { bytes: await options.read(entry), digest, mediaType };
}

/** Nothing in the index runs there. */
export const noPlatform = (what: string, want: Platform, have: readonly Platform[]): BerthError => {
  const names = [...new Set(have.map(formatPlatform))].join(", ");
  return new BerthError("NotFound", `read image ${what}: no image for platform ${formatPlatform(want)}`, {
    hint: `it is there for ${names || "no platform at all"}: choose one with --platform`,
  });
};

export const nestedTooDeep = (what: string): BerthError =>
  new BerthError("InvalidArgument", `read image ${what}: its indexes are nested too deep`, {
    hint: `at most ${MAX_NESTING} documents may be one in the other: ask the image's publisher for a flat index`,
  });

const inCircles = (what: string, digest: Digest): BerthError =>
  new BerthError("InvalidArgument", `read image ${what}: its indexes are nested in circles, by ${digest}`, {
    hint: "the registry or a proxy changes the bytes: no honest index can name itself",
  });

const tooMany = (what: string): BerthError =>
  new BerthError(
    "InvalidArgument",
    `read image ${what}: its nested indexes name more documents than are read for one platform`,
    {
      hint: `at most ${MAX_READ} documents and ${MAX_READ_BYTES >> 20} MiB are: name the image by its own digest`,
    },
  );

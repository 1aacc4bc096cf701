import { isCode } from "@berth/base";
import { type Content, digestOf } from "@berth/content";
import { algorithmOf, type Digest, parseManifest, parseReference } from "@berth/oci";
import { type HostsOptions, loadHosts, type Source } from "@berth/remotes";
import { type Collected, collectRows, sweep } from "./collect.ts";
import { wrongDigest } from "./errors.ts";
import { obtain, type Target } from "./obtain.ts";
import { planChainIds } from "./plan.ts";
import { storedSource } from "./push.ts";
import * as store from "./store.ts";
import type { Checked, CheckOptions, Image, Problem } from "./types.ts";

/** What the check works with; images are read anew after each repair. */
interface Work {
  readonly target: Target;
  readonly hosts: HostsOptions;
  readonly images: () => readonly Image[];
  readonly inUse: () => ReadonlySet<Digest>;
  readonly signal: AbortSignal | undefined;
}

/** Verifies every blob, layer and reference between them and the images; repairs what it can when asked to. */
export async function check(work: Work, options: CheckOptions): Promise<Checked> {
  const { content, snapshots, state } = work.target;
  const blobs = content.list();
  const sizes = new Map(blobs.map((blob) => [blob.digest, blob.sizeBytes]));
  const bad = new Set<string>();
  const problems: Problem[] = store.listFaults(state.db).map((why) => ({ what: "database", why, repaired: undefined }));
  problems.push(...(await checkBlobs(work, options, bad)), ...(await checkLayers(work, options)));
  for (const image of work.images()) {
    const why = faultOf(work, image, bad);
    if (why === undefined) continue;
    const repaired = options.repair ? await repairImage(work, image, sizes) : undefined;
    problems.push({ what: `image ${image.names[0] ?? image.repoDigests[0] ?? image.id}`, why, repaired });
  }
  const totalBytes = blobs.reduce((sum, blob) => sum + blob.sizeBytes, 0);
  const layers = snapshots.listLayers().length;
  return { problems, blobs: blobs.length, totalBytes, layers, images: work.images().length };
}

/** @param bad gets the digests of those that are missing or damaged */
async function checkBlobs(work: Work, options: CheckOptions, bad: Set<string>): Promise<readonly Problem[]> {
  const { content } = work.target;
  const problems: Problem[] = [];
  for (const { digest } of content.list()) {
    options.signal?.throwIfAborted();
    const why = await content.verify(digest);
    if (why === undefined) continue;
    bad.add(digest);
    if (options.repair) content.discard(digest);
    problems.push({ what: `blob ${digest}`, why, repaired: options.repair ? "removed" : undefined });
  }
  return problems;
}

async function checkLayers(work: Work, options: CheckOptions): Promise<readonly Problem[]> {
  const { snapshots } = work.target;
  const problems = snapshots.verify().map(({ kind, name, why }): Problem => {
    const isDropped = options.repair && kind === "layer" && snapshots.dropLayer(name as Digest);
    const what =
      kind === "layer" ? `layer ${name}` : name.startsWith("image:") ? `mount of ${name}` : `container ${name}`;
    return { what, why, repaired: isDropped ? "removed" : undefined };
  });
  if (options.repair) await snapshots.recover();
  return problems;
}

/** What is wrong with an image, or undefined. */
function faultOf(work: Work, image: Image, bad: ReadonlySet<string>): string | undefined {
  const { content, snapshots, state } = work.target;
  const absent = store.listBlobs(state.db, image.id).find((digest) => bad.has(digest) || !content.has(digest));
  if (absent !== undefined) return `its blob ${absent} is missing or damaged`;
  const document = parseManifest(content.read(image.manifest.digest), `manifest ${image.manifest.digest}`);
  if (document.kind !== "manifest" || document.config.digest !== image.id) return "its manifest is another image's";
  const layers = store.listLayers(state.db, image.id);
  const chain = planChainIds(image.config.rootfs.diff_ids);
  if (layers.length !== chain.length || image.chainId !== chain.at(-1))
    return "its layers are not those of its configuration";
  for (const [i, layer] of layers.entries()) {
    if (layer.chainId !== chain[i] || layer.digest !== document.layers[i]?.digest)
      return `its layer ${i} is another one's`;
    const parent = snapshots.parentOf(layer.chainId);
    if (parent === null) return `its layer ${layer.chainId} is not unpacked`;
    if (parent !== chain[i - 1]) return `its layer ${layer.chainId} stands on ${parent ?? "nothing"}`;
  }
  return undefined;
}

/** Brings back what the image lacks, else removes it; says what was done, undefined if nothing could be. */
async function repairImage(work: Work, image: Image, sizes: ReadonlyMap<string, number>): Promise<string | undefined> {
  const { target } = work;
  const restored = await restore(work, image, sizes);
  if (restored !== undefined) return restored;
  const remove = (): Collected | undefined => {
    if (work.inUse().has(image.id)) return undefined;
    store.removeImage(target.state.db, image.id);
    return collectRows(target);
  };
  const collected = target.state.transaction(remove, { durable: true });
  if (collected === undefined) return undefined;
  await sweep(target, collected);
  return "removed: it is to be pulled or loaded again";
}

async function restore(work: Work, image: Image, sizes: ReadonlyMap<string, number>): Promise<string | undefined> {
  const { target, signal } = work;
  const { content, state } = target;
  const layers = store.listLayers(state.db, image.id).map((layer) => layer.chainId);
  using _hold = state.hold([...store.listBlobs(state.db, image.id), ...layers]);
  const { digest, mediaType } = image.manifest;
  try {
    const from = await refetch(work, image, sizes);
    await obtain(
      { bytes: content.read(digest), contentType: mediaType, digest },
      {
        target,
        source: { what: image.id, ...storedSource(content) },
        platform: undefined,
        name: undefined,
        repository: undefined,
        onProgress: () => {},
        signal,
      },
    );
    if (faultOf(work, image, new Set()) !== undefined) return undefined;
    return from === undefined ? "unpacked again" : `fetched again from ${from}`;
  } catch (error) {
    if (!isExpected(error)) throw error;
    return undefined;
  }
}

/** What a registry that is gone or changed, or bytes that do not unpack, may say; then the image goes. */
function isExpected(error: unknown): boolean {
  const codes = [
    "NotFound",
    "Unavailable",
    "Unauthenticated",
    "PermissionDenied",
    "DeadlineExceeded",
    "DataLoss",
    "InvalidArgument",
    "FailedPrecondition",
  ] as const;
  return codes.some((code) => isCode(error, code));
}

/** Fetches the image's missing blobs from where it was pulled; says from where, undefined when nothing was missing. */
async function refetch(work: Work, image: Image, sizes: ReadonlyMap<string, number>): Promise<string | undefined> {
  const { content, state } = work.target;
  const missing = store.listBlobs(state.db, image.id).filter((digest) => !content.has(digest));
  const [place] = image.repoDigests;
  if (missing.length === 0 || place === undefined) return undefined;
  const { Hosts, sourceOf } = await loadHosts();
  using hosts = new Hosts(work.hosts);
  const root = await hosts.find(parseReference(place), work.signal);
  const source = sourceOf(root.sources);
  const plain = new Set<string>([image.id, ...image.layers.map((layer) => layer.digest)]);
  for (const digest of missing) {
    if (!plain.has(digest) && (await refetchDocument(content, source, digest, work.signal))) continue;
    const size = sizes.get(digest) ?? image.layers.find((layer) => layer.digest === digest)?.size ?? 0;
    const body = async (offset: number) => ({ offset, body: source.fetchBlob(digest, offset, work.signal) });
    await content.ingest({ digest, size, source: body, signal: work.signal });
  }
  return place.split("@", 1)[0];
}

/** False when the registry knows no such manifest: a layer of another platform is no document. */
// biome-ignore format: four parameters on one line read better
async function refetchDocument(content: Content, source: Source, digest: Digest, signal: AbortSignal | undefined): Promise<boolean> {
  try {
    const { bytes } = await source.fetchManifest(digest, signal);
    const got = digestOf(bytes, algorithmOf(digest));
    if (got !== digest) throw wrongDigest(digest, got);
    content.put(bytes, algorithmOf(digest));
    return true;
  } catch (error) {
    if (isCode(error, "NotFound")) return false;
    throw error;
  }
}

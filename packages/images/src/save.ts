import { createHash } from "node:crypto";
import { closeSync, createReadStream, openSync } from "node:fs";
import { formatTar, type NewMember, readOpen, spool, writeDirectory, writeFileWhole } from "@berth/archive";
import type { Content } from "@berth/content";
import { algorithmOf, type Digest, familiarName, hexOf, INDEX_TYPES } from "@berth/oci";
import type { Chosen } from "./choose.ts";
import { blobDamaged, blobMissing } from "./errors.ts";
import type { SaveTarget } from "./types.ts";

const CHUNK = 1024 * 1024;

/** An image under the names that it is saved with. */
export interface Saved {
  readonly image: Chosen;
  /** Fully qualified with tag; may be empty. */
  readonly names: readonly string[];
}

interface SaveContext {
  readonly content: Content;
  readonly signal: AbortSignal | undefined;
}

/** Writes the images where the target says; every blob is verified on its way. */
export async function save(images: readonly Saved[], target: SaveTarget, context: SaveContext): Promise<void> {
  if (target.kind === "directory") return await writeDirectory(target.path, layoutMembers(images, context, false));
  const isDocker = target.format === "docker-archive";
  const bytes = formatTar(isDocker ? dockerMembers(images, context) : layoutMembers(images, context, true));
  if (target.kind === "file") return await writeFileWhole(target.path, bytes);
  for await (const chunk of bytes) await target.write(chunk);
}

/**
 * An OCI layout (image-spec "OCI Image Layout Specification"); blobs are those of the store, byte for byte.
 *
 * @param docker as an archive, with the `manifest.json` by which docker reads it too; else for a directory
 */
function layoutMembers(images: readonly Saved[], context: SaveContext, docker: boolean): readonly NewMember[] {
  const manifests = images.flatMap(({ image, names }) =>
    names.length === 0 ? [image.root] : names.map((name) => ({ ...image.root, annotations: annotate(name) })),
  );
  const blobs = images.flatMap(({ image }) => image.blobs);
  const list = images.map(({ image, names }) => ({
    Config: blobName(image.id),
    RepoTags: names.map(familiarName),
    Layers: image.layers.map((layer) => blobName(layer.digest)),
  }));
  const documents = [
    jsonMember("oci-layout", { imageLayoutVersion: "1.0.0" }),
    jsonMember("index.json", { schemaVersion: 2, mediaType: INDEX_TYPES[0], manifests }),
    ...(docker ? [jsonMember("manifest.json", list)] : []),
  ];
  const members = [...new Set(blobs)].map((digest) => blobMember(blobName(digest), digest, context));
  // A directory is a layout when all of it is there, however this ends; who reads a stream wants to know first what comes.
  return docker ? [...documents, ...members] : [...members, ...documents.toReversed()];
}

/** containerd and docker read the whole name, other tools the tag. */
function annotate(name: string): Readonly<Record<string, string>> {
  return {
    "io.containerd.image.name": name,
    "org.opencontainers.image.ref.name": name.slice(name.lastIndexOf(":") + 1),
  };
}

const blobName = (digest: Digest): string => `blobs/${algorithmOf(digest)}/${hexOf(digest)}`;

/** What `docker save` wrote before it wrote OCI layouts: layers are plain tars, so manifests of compressed ones are lost. */
async function* dockerMembers(images: readonly Saved[], context: SaveContext): AsyncGenerator<NewMember> {
  const list = images.map(({ image, names }) => ({
    Config: `${hexOf(image.id)}.json`,
    RepoTags: names.map(familiarName),
    Layers: image.config.rootfs.diff_ids.map(layerName),
  }));
  yield jsonMember("manifest.json", list);
  const written = new Set<string>();
  const isNew = (name: string): boolean => written.size < written.add(name).size;
  for (const { image } of images) {
    if (isNew(image.id)) yield blobMember(`${hexOf(image.id)}.json`, image.id, context);
    for (const [i, diffId] of image.config.rootfs.diff_ids.entries()) {
      const { digest } = image.layers[i] as { readonly digest: Digest };
      if (!isNew(diffId)) continue;
      if (digest === diffId) yield blobMember(layerName(diffId), digest, context);
      else yield* plainMember(digest, diffId, context);
    }
  }
}

const layerName = (diffId: Digest): string => `${hexOf(diffId)}.tar`;

/** A layer's plain tar. Its size must be known before its bytes, so it is unpacked into a nameless file. */
async function* plainMember(digest: Digest, diffId: Digest, context: SaveContext): AsyncGenerator<NewMember> {
  const { content, signal } = context;
  const path = content.path(digest);
  sizeOf(content, digest);
  const packed = openSync(path, "r");
  try {
    const { fd, length } = await spool(path, packed, { spoolDir: content.spoolDir, signal });
    try {
      yield { name: layerName(diffId), size: length, body: () => verify(readOpen(fd, 0), diffId, signal) };
    } finally {
      closeSync(fd);
    }
  } finally {
    closeSync(packed);
  }
}

function jsonMember(name: string, value: unknown): NewMember {
  const bytes = Buffer.from(JSON.stringify(value));
  return { name, size: bytes.length, body: () => [bytes] };
}

function blobMember(name: string, digest: Digest, { content, signal }: SaveContext): NewMember {
  const read = (): AsyncIterable<Buffer> => createReadStream(content.path(digest), { highWaterMark: CHUNK });
  return { name, size: sizeOf(content, digest), body: () => verify(read(), digest, signal) };
}

function sizeOf(content: Content, digest: Digest): number {
  const size = content.sizeOf(digest);
  if (size === undefined) throw blobMissing(digest, content.path(digest));
  return size;
}

/** Passes the bytes on; fails at their end if they are not the digest's. */
async function* verify(
  body: AsyncIterable<Buffer>,
  digest: Digest,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  const hash = createHash(algorithmOf(digest));
  for await (const chunk of body) {
    signal?.throwIfAborted();
    hash.update(chunk);
    yield chunk;
  }
  const got = `${algorithmOf(digest)}:${hash.digest("hex")}`;
  if (got !== digest) throw blobDamaged(digest, got);
}

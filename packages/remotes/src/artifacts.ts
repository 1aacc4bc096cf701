import { createHash } from "node:crypto";
import { createReadStream, existsSync, renameSync, rmSync, statSync } from "node:fs";
import { open } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { BerthError, errnoOf } from "@berth/base";
import {
  algorithmOf,
  type Descriptor,
  type Digest,
  formatReference,
  OCI_MANIFEST,
  parseStoredManifest,
  type Reference,
} from "@berth/oci";
import { rootOf } from "./copy.ts";
import type { Hosts } from "./hosts.ts";
import { type Source, sourceOf } from "./source.ts";
import { transfer } from "./transfer.ts";
import type { ArtifactFile, PullArtifactOptions, PulledArtifact, PushArtifactOptions, Pushed } from "./types.ts";

/** image-spec "Guidance for an Empty Descriptor". */
const EMPTY = Buffer.from("{}");
const EMPTY_TYPE = "application/vnd.oci.empty.v1+json";
const TITLE = "org.opencontainers.image.title";
const FILE_TYPE = "application/octet-stream";

/** Pushes files as one artifact: a manifest whose layers they are. */
export async function pushArtifact(
  hosts: Hosts,
  ref: Reference,
  files: readonly ArtifactFile[],
  options: PushArtifactOptions,
): Promise<Pushed> {
  const { artifactType, annotations, signal } = options;
  const subject = options.subject === undefined ? undefined : await findSubject(hosts, ref, options);
  const paths = new Map<Digest, string>();
  const layers: Descriptor[] = [];
  for (const file of files) {
    const { digest, size } = await digestOfFile(file.path);
    paths.set(digest, file.path);
    const title = { [TITLE]: basename(file.path) };
    layers.push({ mediaType: file.mediaType ?? FILE_TYPE, digest, size, annotations: title });
  }
  const config = { mediaType: EMPTY_TYPE, digest: digestOf(EMPTY), size: EMPTY.length };
  const manifest = {
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    artifactType,
    config,
    layers: layers.length > 0 ? layers : [config],
    ...(subject === undefined ? {} : { subject }),
    ...(annotations === undefined ? {} : { annotations }),
  };
  const bytes = Buffer.from(JSON.stringify(manifest));
  const source: Source = {
    fetchManifest: (digest) => Promise.reject(new BerthError("Internal", `push artifact: no manifest ${digest}`)),
    fetchBlob: (digest, offset) => readFrom(paths.get(digest), offset),
  };
  const root = { bytes, mediaType: OCI_MANIFEST, digest: digestOf(bytes) };
  const { onProgress, chunkBytes } = options;
  await transfer(root, ref.tag === undefined ? [] : [ref.tag], {
    source,
    target: hosts.target(ref),
    onProgress,
    chunkBytes,
    signal,
  });
  return { name: formatReference(ref), digest: root.digest, size: bytes.length };
}

function digestOf(bytes: Uint8Array): Digest {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}` as Digest;
}

async function findSubject(hosts: Hosts, ref: Reference, options: PushArtifactOptions): Promise<Descriptor> {
  const name = hosts.parse(options.subject ?? "");
  if (name.domain !== ref.domain || name.path !== ref.path) {
    throw new BerthError("InvalidArgument", `push artifact about ${options.subject}: it is in another repository`, {
      hint: `the subject must be in ${ref.domain}/${ref.path}`,
    });
  }
  const root = rootOf(await hosts.find(name, options.signal), formatReference(name));
  return { mediaType: root.mediaType, digest: root.digest, size: root.bytes.length };
}

async function digestOfFile(path: string): Promise<{ readonly digest: Digest; readonly size: number }> {
  const hash = createHash("sha256");
  let size = 0;
  try {
    if (!statSync(path).isFile()) throw new BerthError("InvalidArgument", `read ${path}: not a file`);
    for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
      hash.update(chunk);
      size += chunk.length;
    }
  } catch (error) {
    throw fileError("read", path, error);
  }
  return { digest: `sha256:${hash.digest("hex")}` as Digest, size };
}

/** @param path undefined: the empty document */
async function* readFrom(path: string | undefined, offset: number): AsyncGenerator<Uint8Array> {
  if (path === undefined) yield EMPTY.subarray(offset);
  else yield* createReadStream(path, { start: offset, highWaterMark: 256 * 1024 }) as AsyncIterable<Buffer>;
}

/** Writes the layers of an artifact that have a title as files of that name; what has another digest stays away. */
export async function pullArtifact(
  hosts: Hosts,
  ref: Reference,
  options: PullArtifactOptions,
): Promise<PulledArtifact> {
  const { directory, signal, overwrite = false } = options;
  const what = formatReference(ref);
  const found = await hosts.find(ref, signal);
  const document = parseStoredManifest(found.bytes, `manifest of ${what}`, found.contentType);
  const layers = document.blobs.filter((blob) => blob.annotations?.[TITLE] !== undefined);
  const targets = layers.map((layer) => ({ layer, path: targetOf(what, directory, layer.annotations?.[TITLE] ?? "") }));
  const taken = targets.find(({ path }) => !overwrite && existsSync(path));
  if (taken !== undefined) {
    throw new BerthError("AlreadyExists", `write ${taken.path}: it exists`, { hint: "use --overwrite to replace it" });
  }
  if (layers.length === 0) {
    throw new BerthError("FailedPrecondition", `read artifact ${what}: it has no files`, {
      hint: document.manifests.length > 0 ? "it is an index: name one of its manifests by digest" : "is it an image?",
    });
  }
  const source = sourceOf(found.sources);
  await writeFiles(targets, source, signal);
  return { digest: found.digest, files: targets.map(({ path }) => path) };
}

/** A title is hostile: only a plain name may become a file. */
function targetOf(what: string, directory: string, title: string): string {
  if (title !== "" && title !== "." && title !== ".." && !/[/\0]/.test(title) && Buffer.byteLength(title) <= 255) {
    return join(resolve(directory), title);
  }
  throw new BerthError("InvalidArgument", `read artifact ${what}: "${title.slice(0, 100)}" is no file name`);
}

interface Target {
  readonly layer: Descriptor;
  readonly path: string;
}

/** All of them or none: a file gets its name when every other one is whole too. */
async function writeFiles(targets: readonly Target[], source: Source, signal: AbortSignal | undefined): Promise<void> {
  const written: { readonly temporary: string; readonly path: string }[] = [];
  try {
    for (const [i, { layer, path }] of targets.entries()) {
      const temporary = `${dirname(path)}/.berth-${process.pid}-${i}.part`;
      written.push({ temporary, path });
      await writeFile(temporary, { layer, path }, source, signal);
    }
    for (const { temporary, path } of written) renameSync(temporary, path);
  } catch (error) {
    for (const { temporary } of written) rmSync(temporary, { force: true });
    throw error;
  }
}

// biome-ignore format: four parameters on one line read better
async function writeFile(temporary: string, { layer, path }: Target, source: Source, signal: AbortSignal | undefined): Promise<void> {
  const algorithm = algorithmOf(layer.digest);
  const hash = createHash(algorithm);
  let size = 0;
  try {
    rmSync(temporary, { force: true });
    await using file = await open(temporary, "wx");
    for await (const chunk of source.fetchBlob(layer.digest, 0, signal)) {
      size += chunk.length;
      if (size > layer.size) break;
      hash.update(chunk);
      await file.writeFile(chunk);
    }
    const got = `${algorithm}:${hash.digest("hex")}`;
    if (size !== layer.size || got !== layer.digest) {
      throw new BerthError("DataLoss", `verify blob ${layer.digest}: it has digest ${got} and ${size} bytes`, {
        hint: "pull again; if it repeats, the registry or a proxy changes the bytes",
      });
    }
    await file.sync();
  } catch (error) {
    throw fileError("write", path, error);
  }
}

function fileError(verb: string, path: string, error: unknown): unknown {
  const errno = errnoOf(error);
  if (error instanceof BerthError || errno === undefined) return error;
  const details = { path, errno };
  if (errno === "ENOSPC" || errno === "EDQUOT" || errno === "EFBIG") {
    const hint = "free space on its file system; nothing of the artifact was kept";
    return new BerthError("ResourceExhausted", `${verb} ${path}: no space left (${errno})`, {
      hint,
      details,
      cause: error,
    });
  }
  const code = errno === "ENOENT" ? "NotFound" : "PermissionDenied";
  return new BerthError(code, `${verb} ${path}: ${errno}`, { details, cause: error });
}

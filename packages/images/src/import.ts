import { createHash } from "node:crypto";
import { closeSync, openSync } from "node:fs";
import { readOpen, spool } from "@berth/archive";
import { BerthError, errnoOf } from "@berth/base";
import { digestOf } from "@berth/content";
import { type Descriptor, type Digest, OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, parsePlatform } from "@berth/oci";
import { planChanges } from "./changes.ts";
import { recover } from "./collect.ts";
import { obtain, type Target } from "./obtain.ts";
import { hostPlatform } from "./resolve.ts";
import type { ImportOptions } from "./types.ts";

/**
 * Makes an image of one layer from a root file system in a tar.
 *
 * @param name fully qualified with tag; undefined: it gets none
 * @returns its id
 */
export async function importTar(
  path: string,
  name: string | undefined,
  target: Target,
  options: ImportOptions,
): Promise<Digest> {
  // Before anything is read: the answer may be no.
  const settings = planChanges(options.changes);
  const host = hostPlatform();
  const platform = options.platform === undefined ? host : parsePlatform(options.platform, host);
  await recover(target);
  const source = open(path);
  try {
    const { content, layerLimits } = target;
    const limits = { maxBytes: layerLimits.bytes, maxRatio: layerLimits.ratio, signal: options.signal };
    const { fd, length } = await spool(path, source, { spoolDir: content.spoolDir, ...limits });
    try {
      const read = (start: number): AsyncIterable<Buffer> => readOpen(fd, start);
      const layer = { mediaType: OCI_LAYER, digest: await hashOf(read(0)), size: length };
      const created = new Date().toISOString();
      const config = json(OCI_CONFIG, {
        created,
        os: platform.os,
        architecture: platform.architecture,
        config: settings,
        rootfs: { type: "layers", diff_ids: [layer.digest] },
        history: [{ created, comment: options.message ?? `Imported from ${path}` }],
      });
      const { descriptor, bytes } = config;
      const manifest = json(OCI_MANIFEST, {
        schemaVersion: 2,
        mediaType: OCI_MANIFEST,
        config: descriptor,
        layers: [layer],
      });
      const body = (digest: Digest, offset: number): AsyncIterable<Uint8Array> =>
        digest === layer.digest ? read(offset) : once(bytes.subarray(offset));
      return await obtain(
        { bytes: manifest.bytes, contentType: OCI_MANIFEST },
        {
          target,
          source: { what: name ?? path, fetchManifest: async () => ({ bytes: manifest.bytes }), fetchBlob: body },
          platform: undefined,
          name,
          repository: undefined,
          onProgress: () => {},
          signal: options.signal,
        },
      );
    } finally {
      closeSync(fd);
    }
  } finally {
    if (source !== 0) closeSync(source);
  }
}

function open(path: string): number {
  if (path === "-") return 0;
  try {
    return openSync(path, "r");
  } catch (error) {
    const errno = errnoOf(error);
    const code = errno === "EACCES" || errno === "EPERM" ? "PermissionDenied" : "NotFound";
    throw new BerthError(code, `import ${path}: ${errno}`, { cause: error });
  }
}

async function hashOf(body: AsyncIterable<Buffer>): Promise<Digest> {
  const hash = createHash("sha256");
  for await (const chunk of body) hash.update(chunk);
  return `sha256:${hash.digest("hex")}` as Digest;
}

function json(mediaType: string, value: unknown): { readonly descriptor: Descriptor; readonly bytes: Buffer } {
  const bytes = Buffer.from(JSON.stringify(value));
  return { bytes, descriptor: { mediaType, digest: digestOf(bytes), size: bytes.length } };
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

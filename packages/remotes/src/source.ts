import { createHash } from "node:crypto";
import { BerthError } from "@berth/base";
import {
  algorithmOf,
  CONFIG_TYPES,
  type Descriptor,
  type Digest,
  MAX_CONFIG_BYTES,
  type Manifest,
  type Platform,
  parseImageConfig,
} from "@berth/oci";
import { mayHelp, type Repository } from "./hosts.ts";

/** Where documents and blobs come from. Nothing of it is trusted: digests are verified by who receives. */
export interface Source {
  /** A manifest or index by digest. */
  fetchManifest(
    digest: Digest,
    signal: AbortSignal | undefined,
  ): Promise<{ readonly bytes: Buffer; readonly contentType: string }>;
  /** A blob's bytes from `offset` on. A chunk lasts until the next one is asked for: its memory may be used again. */
  fetchBlob(digest: Digest, offset: number, signal: AbortSignal | undefined): AsyncIterable<Uint8Array>;
}

/** Repositories that all have the same: each is asked when those before it fail. */
export function sourceOf(repositories: readonly Repository[]): Source {
  return {
    fetchManifest: async (digest, signal) => {
      for (const [i, { registry, path }] of repositories.entries()) {
        try {
          return await registry.fetchManifest(path, digest, signal);
        } catch (error) {
          if (i === repositories.length - 1 || !mayHelp(error)) throw error;
        }
      }
      throw new BerthError("NotFound", `find ${digest}: no repository to look in`);
    },
    fetchBlob: async function* (digest, offset, signal) {
      let at = offset;
      for (const [i, { registry, path }] of repositories.entries()) {
        try {
          for await (const chunk of registry.fetchBlob(path, digest, { offset: at, signal })) {
            yield chunk;
            at += chunk.length;
          }
          return;
        } catch (error) {
          if (i === repositories.length - 1 || !mayHelp(error)) throw error;
        }
      }
    },
  };
}

/** Throws unless the bytes are those that the descriptor tells. */
export function verify(want: Descriptor, bytes: Buffer): void {
  const algorithm = algorithmOf(want.digest);
  const got = `${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}`;
  if (got === want.digest && bytes.length === want.size) return;
  throw new BerthError("DataLoss", `verify ${want.digest}: it has digest ${got} and ${bytes.length} bytes`, {
    details: { want: want.digest, got },
  });
}

/** What an image's configuration says it runs on; undefined: the manifest is of no image. */
export async function platformOf(
  { config }: Manifest,
  source: Source,
  what: string,
  signal: AbortSignal | undefined,
): Promise<Platform | undefined> {
  if (!CONFIG_TYPES.includes(config.mediaType) || config.size > MAX_CONFIG_BYTES) return undefined;
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of source.fetchBlob(config.digest, 0, signal)) {
    length += chunk.length;
    chunks.push(Buffer.from(chunk));
    if (length > config.size) break;
  }
  const bytes = Buffer.concat(chunks);
  verify(config, bytes);
  const { os, architecture, variant } = parseImageConfig(bytes, `config ${config.digest} of ${what}`);
  return { os, architecture, ...(variant === undefined ? {} : { variant }) };
}

import { BerthError } from "@berth/base";
import type { Digest } from "@berth/oci";
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

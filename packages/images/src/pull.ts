import { type Digest, formatReference, parseReference, type Reference, repositoryOf } from "@berth/oci";
import { openRegistry } from "@berth/registry";
import { obtain, type Target } from "./obtain.ts";
import type { PullOptions } from "./types.ts";

export interface PullTarget extends Target {
  readonly insecureRegistries: readonly string[];
  readonly caFile: string | undefined;
}

/** Downloads and unpacks an image; returns its id. */
export async function pull(text: string, target: PullTarget, options: PullOptions): Promise<Digest> {
  const ref = parseReference(text);
  const { domain, path } = ref;
  const insecure = target.insecureRegistries.includes(domain);
  using registry = openRegistry({ domain, insecure, caFile: target.caFile });
  target.content.recover();
  await target.snapshots.recover();
  const root = await registry.fetchManifest(path, ref.digest ?? ref.tag ?? "latest", options.signal);
  return await obtain(root, {
    target,
    source: {
      what: formatReference(ref),
      fetchManifest: (digest, signal) => registry.fetchManifest(path, digest, signal),
      fetchBlob: (digest, offset, signal) => registry.fetchBlob(path, digest, { offset, signal }),
    },
    platform: options.platform,
    name: nameOf(ref),
    repository: repositoryOf(ref),
    onProgress: options.onProgress ?? (() => {}),
    signal: options.signal,
  });
}

/** A pull by digest gives no name, as with docker, even if a tag stands beside the digest. */
function nameOf(ref: Reference): string | undefined {
  return ref.digest === undefined ? formatReference(ref) : undefined;
}

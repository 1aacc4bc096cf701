import { type Digest, formatReference, type Reference, repositoryOf } from "@berth/oci";
import { type HostsOptions, loadHosts } from "@berth/remotes";
import { recover } from "./collect.ts";
import { obtain, type Target } from "./obtain.ts";
import type { PullOptions } from "./types.ts";

/** Downloads and unpacks an image, from the hosts that serve its name; returns its id. */
export async function pull(ref: Reference, target: Target, hosts: HostsOptions, options: PullOptions): Promise<Digest> {
  const { Hosts, sourceOf } = await loadHosts();
  using open = new Hosts(hosts);
  await recover(target);
  const root = await open.find(ref, options.signal);
  return await obtain(root, {
    target,
    source: { what: formatReference(ref), ...sourceOf(root.sources) },
    platform: options.platform,
    allPlatforms: options.allPlatforms,
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

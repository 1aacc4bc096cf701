import { BerthError } from "@berth/base";
import {
  formatPlatform,
  formatReference,
  isDigest,
  parseManifest,
  parsePlatform,
  parseStoredManifest,
  type Reference,
  selectManifest,
} from "@berth/oci";
import type { Found, Hosts } from "./hosts.ts";
import { sourceOf } from "./source.ts";
import { type Root, transfer } from "./transfer.ts";
import type { CopyOptions, Pushed } from "./types.ts";

/** A manifest's type: the document's own word before the server's. */
export function rootOf(found: Pick<Found, "bytes" | "contentType" | "digest">, what: string): Root {
  const { bytes, contentType, digest } = found;
  return { bytes, digest, mediaType: parseStoredManifest(bytes, what, contentType).mediaType };
}

/** Copies what a name leads to, with all its platforms or one. */
export async function copy(hosts: Hosts, from: Reference, to: Reference, options: CopyOptions): Promise<Pushed> {
  const { signal, platform, onProgress, chunkBytes } = options;
  const found = await hosts.find(from, signal);
  const root = platform === undefined ? rootOf(found, formatReference(from)) : await choose(found, from, options);
  const target = hosts.target(to);
  const isSameHost = found.sources.find((one) => one.domain === target.domain);
  const shared = {
    source: sourceOf(found.sources),
    target,
    mountFrom: isSameHost?.path,
    onProgress,
    chunkBytes,
    signal,
  };
  const reference = to.digest ?? to.tag ?? "latest";
  if (isDigest(reference) && reference !== root.digest) {
    throw new BerthError("InvalidArgument", `copy to ${formatReference(to)}: what is copied has digest ${root.digest}`);
  }
  await transfer(root, [reference], shared);
  if (options.referrers) {
    for (const source of found.sources.slice(0, 1)) {
      for (const entry of await source.registry.listReferrers(source.path, root.digest, { signal })) {
        const manifest = await source.registry.fetchManifest(source.path, entry.digest, signal);
        await transfer(rootOf(manifest, `referrer ${entry.digest}`), [], shared);
      }
    }
  }
  return { name: formatReference(to), digest: root.digest, size: root.bytes.length };
}

/** The manifest of one platform. */
async function choose(found: Found, from: Reference, { platform, signal }: CopyOptions): Promise<Root> {
  const what = formatReference(from);
  const host = { os: "linux", architecture: process.arch === "x64" ? "amd64" : process.arch };
  const want = parsePlatform(platform ?? "", host);
  let root = rootOf(found, what);
  for (let depth = 0; depth < 4; depth++) {
    const document = parseManifest(root.bytes, what, root.mediaType);
    if (document.kind === "manifest") return root;
    const entry = selectManifest(document.manifests, want);
    if (entry === undefined) break;
    root = rootOf(await sourceFor(found, entry.digest, signal), what);
  }
  throw new BerthError("NotFound", `copy ${what}: no image for platform ${formatPlatform(want)}`);
}

async function sourceFor(found: Found, digest: Found["digest"], signal: AbortSignal | undefined) {
  const { bytes, contentType } = await sourceOf(found.sources).fetchManifest(digest, signal);
  return { bytes, contentType, digest };
}

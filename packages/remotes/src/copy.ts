import { BerthError } from "@berth/base";
import {
  architectureOf,
  formatReference,
  isDigest,
  type Manifest,
  noPlatform,
  type Platform,
  parseManifest,
  parsePlatform,
  parseStoredManifest,
  type Reference,
  rankConfig,
  searchIndex,
} from "@berth/oci";
import type { Found, Hosts } from "./hosts.ts";
import { platformOf, sourceOf, verify } from "./source.ts";
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

/** The manifest of one platform, found as `pull` finds it. */
async function choose(found: Found, from: Reference, { platform = "", signal }: CopyOptions): Promise<Root> {
  const what = formatReference(from);
  const want = parsePlatform(platform, { os: "linux", architecture: architectureOf(process.arch) });
  const source = sourceOf(found.sources);
  const root = rootOf(found, what);
  const document = parseManifest(found.bytes, what, root.mediaType);
  const tell = (manifest: Manifest): Promise<Platform | undefined> => platformOf(manifest, source, what, signal);
  if (document.kind === "manifest") {
    const config = await tell(document);
    if (config === undefined || rankConfig(want, config) !== undefined) return root;
    throw noPlatform(what, want, [config]);
  }
  const searched = await searchIndex({ ...root, bytes: found.bytes }, document, {
    what,
    want,
    read: async (entry) => {
      const { bytes } = await source.fetchManifest(entry.digest, signal);
      verify(entry, bytes);
      return bytes;
    },
    platformOf: tell,
  });
  const chosen = searched.documents?.at(-1);
  if (chosen === undefined) throw noPlatform(what, want, searched.have);
  return chosen;
}

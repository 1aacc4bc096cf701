import { createReadStream } from "node:fs";
import type { Content } from "@berth/content";
import { type Descriptor, type Digest, formatReference, type Reference, repositoryOf } from "@berth/oci";
import { type HostsOptions, loadHosts, type Pushed, type PushOptions, type Source } from "@berth/remotes";
import type { Image } from "./types.ts";

const CHUNK = 256 * 1024;

/** Pushes local images under their names, which are of one repository. */
export async function push(
  images: readonly { readonly ref: Reference; readonly image: Image; readonly root: Descriptor }[],
  target: { readonly content: Content; readonly hosts: HostsOptions },
  options: PushOptions,
): Promise<readonly Pushed[]> {
  const { Hosts, transfer } = await loadHosts();
  using hosts = new Hosts(target.hosts);
  const source = storedSource(target.content);
  const pushed: Pushed[] = [];
  for (const { ref, image, root } of images) {
    const repository = hosts.target(ref);
    const { digest, mediaType, size } = root;
    const document = { bytes: target.content.read(digest), mediaType, digest };
    const mountFrom = knownPlace(image, ref);
    await transfer(document, [ref.tag ?? "latest"], { ...options, source, target: repository, mountFrom });
    pushed.push({ name: formatReference(ref), digest, size });
  }
  return pushed;
}

/** Blobs and documents of the local store; whoever gets them verifies them. */
export function storedSource(content: Content): Source {
  return {
    fetchManifest: async (digest) => ({ bytes: content.read(digest), contentType: "" }),
    fetchBlob: (digest: Digest, offset: number) => readBlob(content, digest, offset),
  };
}

async function* readBlob(content: Content, digest: Digest, offset: number): AsyncGenerator<Uint8Array> {
  if (content.has(digest)) {
    yield* createReadStream(content.path(digest), { start: offset, highWaterMark: CHUNK }) as AsyncIterable<Buffer>;
    // Throws what is wrong with a blob that is not there.
  } else content.read(digest);
}

/** A repository of the same registry that the image came from: its blobs need not be sent again. */
function knownPlace(image: Image, ref: Reference): string | undefined {
  const places = image.repoDigests.map((text) => text.split("@")[0] ?? "");
  const own = repositoryOf(ref);
  const near = places.find((place) => place !== own && place.startsWith(`${ref.domain}/`));
  return near?.slice(ref.domain.length + 1);
}

import { closeSync, openSync, read } from "node:fs";
import type { Content } from "@berth/content";
import { type Descriptor, type Digest, formatReference, type Reference, repositoryOf } from "@berth/oci";
import { type HostsOptions, loadHosts, type Pushed, type PushOptions, type Source } from "@berth/remotes";
import type { Image } from "./types.ts";

const CHUNK = 1024 * 1024;

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

/** One buffer for all of it: new ones cost more than reading into them does, for pages are made and garbage is collected. */
async function* readBlob(content: Content, digest: Digest, offset: number): AsyncGenerator<Uint8Array> {
  // Throws what is wrong with a blob that is not there.
  if (!content.has(digest)) content.read(digest);
  const buffer = Buffer.allocUnsafeSlow(CHUNK);
  const fd = openSync(content.path(digest), "r");
  try {
    for (let position = offset; ; ) {
      const bytes = await readAt(fd, buffer, position);
      if (bytes === 0) return;
      yield buffer.subarray(0, bytes);
      position += bytes;
    }
  } finally {
    closeSync(fd);
  }
}

/** By the callback: node:fs/promises takes 5 ms to load. */
function readAt(fd: number, buffer: Buffer, position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    read(fd, buffer, 0, buffer.length, position, (error, bytes) => (error === null ? resolve(bytes) : reject(error)));
  });
}

/** A repository of the same registry that the image came from: its blobs need not be sent again. */
function knownPlace(image: Image, ref: Reference): string | undefined {
  const places = image.repoDigests.map((text) => text.split("@")[0] ?? "");
  const own = repositoryOf(ref);
  const near = places.find((place) => place !== own && place.startsWith(`${ref.domain}/`));
  return near?.slice(ref.domain.length + 1);
}

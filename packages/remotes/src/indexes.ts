import { createHash } from "node:crypto";
import { BerthError } from "@berth/base";
import { type Descriptor, type Digest, formatReference, INDEX_TYPES, MANIFEST_TYPES, parseManifest } from "@berth/oci";
import type { State } from "@berth/state";
import { rootOf } from "./copy.ts";
import type { Hosts } from "./hosts.ts";
import { platformOf, sourceOf } from "./source.ts";
import * as store from "./store.ts";
import { type Root, transfer } from "./transfer.ts";
import type { IndexEntryChange, Indexes, Pushed, PushOptions } from "./types.ts";

const [OCI_INDEX = "", DOCKER_LIST = ""] = INDEX_TYPES;

/** An image of a list, and where it was found. */
interface IndexEntry {
  readonly descriptor: Descriptor;
  /** Fully qualified, by digest. */
  readonly image: string;
}

/** @param open makes the connections of one piece of work */
export function createIndexes(state: State, open: () => Hosts): Indexes {
  return new StoredIndexes(state, open);
}

class StoredIndexes implements Indexes {
  readonly #state: State;
  readonly #open: () => Hosts;

  constructor(state: State, open: () => Hosts) {
    this.#state = state;
    this.#open = open;
  }

  async create(
    text: string,
    images: readonly string[],
    options: { amend?: boolean | undefined } = {},
  ): Promise<string> {
    using hosts = this.#open();
    const name = formatReference(hosts.parse(text));
    const before = this.#find(name);
    if (before !== undefined && !options.amend) {
      throw new BerthError("AlreadyExists", `create manifest list ${name}: it exists`, {
        hint: "add to it with --amend",
      });
    }
    const added: IndexEntry[] = [];
    for (const image of images) added.push(await lookUp(hosts, image));
    const digests = new Set(added.map(({ descriptor }) => descriptor.digest));
    const kept = (before ?? []).filter(({ descriptor }) => !digests.has(descriptor.digest));
    this.#write(name, [...kept, ...added]);
    return name;
  }

  async annotate(text: string, image: string, change: IndexEntryChange): Promise<void> {
    using hosts = this.#open();
    const name = formatReference(hosts.parse(text));
    const entries = this.#get(name);
    const wanted = await lookUp(hosts, image);
    const position = entries.findIndex(({ descriptor }) => descriptor.digest === wanted.descriptor.digest);
    const entry = entries[position];
    if (entry === undefined) {
      throw new BerthError("NotFound", `annotate ${image} in manifest list ${name}: it is not in the list`);
    }
    this.#write(name, entries.with(position, { ...entry, descriptor: changed(entry.descriptor, change) }));
  }

  async inspect(text: string, signal?: AbortSignal): Promise<string> {
    using hosts = this.#open();
    const ref = hosts.parse(text);
    const entries = this.#find(formatReference(ref));
    const { bytes } = entries === undefined ? await hosts.find(ref, signal) : { bytes: documentOf(entries).bytes };
    return Buffer.from(bytes).toString("utf8");
  }

  async push(text: string, options: PushOptions & { purge?: boolean | undefined } = {}): Promise<Pushed> {
    using hosts = this.#open();
    const ref = hosts.parse(text);
    const name = formatReference(ref);
    const entries = this.#get(name);
    const { signal, onProgress, chunkBytes } = options;
    const target = hosts.target(ref);
    // Each image from where it was found: a mount when that is the same registry.
    for (const { image } of entries) {
      const found = await hosts.find(hosts.parse(image), signal);
      const near = found.sources.find(({ domain }) => domain === target.domain);
      const shared = { source: sourceOf(found.sources), target, mountFrom: near?.path, onProgress, chunkBytes, signal };
      await transfer(rootOf(found, image), [], shared);
    }
    const root = documentOf(entries);
    await target.registry.pushManifest(target.path, ref.tag ?? root.digest, root, signal);
    if (options.purge) this.#state.transaction(() => store.removeDraft(this.#state.db, name));
    return { name, digest: root.digest, size: root.bytes.length };
  }

  async remove(text: string): Promise<void> {
    using hosts = this.#open();
    const name = formatReference(hosts.parse(text));
    if (!this.#state.transaction(() => store.removeDraft(this.#state.db, name))) throw noSuchList(name);
  }

  #find(name: string): readonly IndexEntry[] | undefined {
    const text = store.findDraft(this.#state.db, name);
    return text === undefined ? undefined : (JSON.parse(text) as readonly IndexEntry[]);
  }

  #get(name: string): readonly IndexEntry[] {
    const entries = this.#find(name);
    if (entries === undefined) throw noSuchList(name);
    return entries;
  }

  #write(name: string, entries: readonly IndexEntry[]): void {
    this.#state.transaction(() => store.writeDraft(this.#state.db, name, JSON.stringify(entries)));
  }
}

const noSuchList = (name: string): BerthError =>
  new BerthError("NotFound", `find manifest list ${name}: no such list`, { hint: "make it: berth manifest create" });

/** An image of a registry as an entry; its platform is that of its configuration. */
async function lookUp(hosts: Hosts, text: string): Promise<IndexEntry> {
  const ref = hosts.parse(text);
  const what = formatReference(ref);
  const found = await hosts.find(ref);
  const document = parseManifest(found.bytes, `manifest of ${what}`, found.contentType);
  if (document.kind === "index") {
    throw new BerthError("InvalidArgument", `add ${what} to a manifest list: it is a list itself`, {
      hint: "name one of its images by digest",
    });
  }
  const { digest, bytes } = found;
  const platform = await platformOf(document, sourceOf(found.sources), what, undefined);
  const descriptor = { mediaType: document.mediaType, digest, size: bytes.length, ...(platform && { platform }) };
  return { descriptor, image: formatReference({ domain: ref.domain, path: ref.path, digest }) };
}

function changed(descriptor: Descriptor, change: IndexEntryChange): Descriptor {
  const { platform, annotations } = descriptor;
  const os = change.os ?? platform?.os;
  const architecture = change.architecture ?? platform?.architecture;
  const variant = change.variant ?? platform?.variant;
  if ((os === undefined) !== (architecture === undefined)) {
    throw new BerthError("InvalidArgument", "annotate: a platform has an operating system and an architecture");
  }
  return {
    ...descriptor,
    ...(os === undefined || architecture === undefined
      ? {}
      : { platform: { os, architecture, ...(variant === undefined ? {} : { variant }) } }),
    ...(change.annotations === undefined ? {} : { annotations: { ...annotations, ...change.annotations } }),
  };
}

/** docker's type when all images have docker's, else OCI's. */
function documentOf(entries: readonly IndexEntry[]): Root {
  const isDocker = entries.length > 0 && entries.every(({ descriptor }) => descriptor.mediaType === MANIFEST_TYPES[1]);
  const mediaType = isDocker ? DOCKER_LIST : OCI_INDEX;
  const manifests = entries.map(({ descriptor }) => descriptor);
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, manifests }, null, 2));
  return { bytes, mediaType, digest: `sha256:${createHash("sha256").update(bytes).digest("hex")}` as Digest };
}

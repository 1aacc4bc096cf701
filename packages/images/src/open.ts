import type { Content } from "@berth/content";
import {
  type Descriptor,
  type Digest,
  formatReference,
  parsePlatform,
  parseReference,
  type Reference,
  rankConfig,
  repositoryOf,
} from "@berth/oci";
import { type HostsOptions, type Pushed, parseName } from "@berth/remotes";
import type { Snapshots } from "@berth/snapshots";
import type { State } from "@berth/state";
import type { Chosen } from "./choose.ts";
import { type Collected, collectRows, recover, type Stores, sweep } from "./collect.ts";
import { ambiguous, inUse, inUseRunning, isMounted, noSuchImage, noTag, notItsName, severalNames } from "./errors.ts";
import type { Target } from "./obtain.ts";
import { hostPlatform } from "./resolve.ts";
import * as store from "./store.ts";
import type {
  Checked,
  CheckOptions,
  Image,
  ImagePushOptions,
  ImageSummary,
  Images,
  ImportOptions,
  LayerLimits,
  Pruned,
  PullOptions,
  SaveOptions,
  SaveTarget,
} from "./types.ts";

const LAYER_LIMITS: LayerLimits = { bytes: 64 * 1024 ** 3, entries: 1_000_000, ratio: 200 };

export interface ImagesOptions extends HostsOptions {
  /** Opened with the `migrations` of content, snapshots and images (one list, any order). */
  readonly state: State;
  readonly content: Content;
  readonly snapshots: Snapshots;
  /** Absolute path of the keel binary; used by pull and load only. */
  readonly keelPath: string;
  /** Ids of images that containers use; asked by remove only. */
  readonly inUse: () => ReadonlySet<Digest>;
  /** Ids of images that running containers use: these cannot be removed even by force. */
  readonly running?: () => ReadonlySet<Digest>;
  /** Ids of images that are mounted: these neither. */
  readonly mounted?: () => ReadonlySet<Digest>;
  /** Blobs that garbage collection leaves although no image needs them. */
  readonly keptBlobs?: () => ReadonlySet<Digest>;
  /** Default: 64 GiB, a million entries, 200 times its size. */
  readonly layerLimits?: LayerLimits;
}

/**
 * The image store on an opened database, content store and snapshotter. Cheap: nothing is read until a method is called,
 * and code for networks and archives is loaded by `pull` and `load` only.
 */
export function createImages(options: ImagesOptions): Images {
  return new ImageStore(options);
}

/** What a reference of the user points at. */
type Hit =
  | { readonly by: "id"; readonly id: Digest }
  | { readonly by: "name"; readonly id: Digest; readonly name: string; readonly repository: string }
  | { readonly by: "digest"; readonly id: Digest; readonly root: Digest; readonly repository: string };

class ImageStore implements Images {
  readonly #options: ImagesOptions;
  readonly #state: State;
  readonly #stores: Stores;

  constructor(options: ImagesOptions) {
    const { state, content, snapshots, keptBlobs = () => new Set<Digest>() } = options;
    this.#options = options;
    this.#state = state;
    this.#stores = { state, content, snapshots, keptBlobs };
  }

  async pull(ref: string, options: PullOptions = {}): Promise<Image> {
    const { pull } = await import("./pull.ts");
    return this.#read(await pull(this.#parse(ref), this.#target(), this.#options, options), ref);
  }

  async push(ref: string, options: ImagePushOptions = {}): Promise<readonly Pushed[]> {
    const images = options.allTags ? this.#allTags(ref) : [{ ref: this.#toPush(ref), image: this.get(ref) }];
    // What is being pushed stays until it is there.
    using _hold = this.#state.hold(images.flatMap(({ image }) => this.blobs(image.id)));
    const { content, state } = this.#stores;
    const [{ push }, { choose }] = await Promise.all([import("./push.ts"), import("./choose.ts")]);
    const chosen: { readonly ref: Reference; readonly image: Image; readonly root: Descriptor }[] = [];
    for (const { ref: name, image } of images) {
      const root = store.findRootOfName(state.db, formatReference(name));
      chosen.push({ ref: name, image, root: (await choose(content, image, root, options)).root });
    }
    return await push(chosen, { content: this.#stores.content, hosts: this.#options }, options);
  }

  tag(source: string, name: string): void {
    const ref = this.#parse(name);
    if (ref.digest !== undefined) throw noTag(name);
    this.#state.transaction(() => {
      const hit = this.#get(source);
      store.writeName(this.#state.db, formatReference(ref), hit.id, this.#rootOf(hit));
    });
  }

  async load(path: string, options: PullOptions = {}): Promise<readonly Image[]> {
    const { load } = await import("./load.ts");
    const ids = await load(path, this.#target(), options);
    return ids.map((id) => this.#read(id, id));
  }

  async save(refs: readonly string[], target: SaveTarget, options: SaveOptions = {}): Promise<void> {
    const hits = refs.map((ref) => this.#get(ref));
    using _hold = this.#state.hold(hits.flatMap((hit) => this.blobs(hit.id)));
    const { content } = this.#stores;
    const [{ save }, { choose }] = await Promise.all([import("./save.ts"), import("./choose.ts")]);
    const images = new Map<Digest, { readonly image: Chosen; readonly names: Set<string> }>();
    for (const hit of hits) {
      const image = await choose(content, this.#read(hit.id, hit.id), this.#rootOf(hit), options);
      const known = images.get(image.root.digest) ?? { image, names: new Set() };
      if (hit.by === "name") known.names.add(hit.name);
      images.set(image.root.digest, known);
    }
    const named = [...images.values()].map(({ image, names }) => ({ image, names: [...names] }));
    await save(named, target, { content, signal: options.signal });
  }

  suits(image: Image, platform: string | undefined): boolean {
    return platform === undefined || rankConfig(parsePlatform(platform, hostPlatform()), image.config) !== undefined;
  }

  async import(path: string, name: string | undefined, options: ImportOptions): Promise<Image> {
    const full = name === undefined ? undefined : formatReference(this.#toPush(name));
    const { importTar } = await import("./import.ts");
    const id = await importTar(path, full, this.#target(), options);
    return this.#read(id, id);
  }

  find(ref: string): Image | undefined {
    const hit = this.#find(ref);
    return hit === undefined ? undefined : this.#read(hit.id, ref);
  }

  get(ref: string): Image {
    const image = this.find(ref);
    if (image === undefined) throw noSuchImage(ref);
    return image;
  }

  list(): readonly ImageSummary[] {
    return store.listSummaries(this.#state.db);
  }

  listWhole(): readonly Image[] {
    const { db } = this.#state;
    const configs = store.listConfigs(db);
    const layers = store.listAllLayers(db);
    return store.listSummaries(db).flatMap((image) => {
      const config = configs.get(image.id);
      return config === undefined ? [] : [{ ...image, config, layers: layers.get(image.id) ?? [] }];
    });
  }

  async remove(
    ref: string,
    options: { readonly force?: boolean } = {},
  ): Promise<{ readonly untagged: readonly string[]; readonly deleted: readonly Digest[] }> {
    const { state } = this.#options;
    const gone = state.transaction(() => this.#removeRows(ref, options.force ?? false), { durable: true });
    await sweep(this.#stores, gone.collected);
    return { untagged: gone.untagged, deleted: gone.deleted };
  }

  untag(ref: string, names: readonly string[]): readonly string[] {
    const { db } = this.#state;
    return this.#state.transaction(() => {
      const image = this.get(ref);
      const gone = names.length === 0 ? image.names : names.map((name) => formatReference(this.#toPush(name)));
      for (const name of gone) {
        if (!image.names.includes(name)) throw notItsName(ref, name);
        store.removeName(db, name);
      }
      return gone;
    });
  }

  async prune(fits: (image: Image) => boolean): Promise<Pruned> {
    const { snapshots, content } = this.#stores;
    const { db } = this.#state;
    const sizes = new Map<Digest, number>();
    for (const chainId of this.listWhole()
      .filter(fits)
      .flatMap(({ id }) => this.chainIds(id)))
      if (!sizes.has(chainId)) sizes.set(chainId, await snapshots.measure(chainId));
    const pruned = this.#state.transaction(
      () => {
        const used = this.#options.inUse();
        const images = this.listWhole().filter((image) => !used.has(image.id) && fits(image));
        for (const { id } of images) store.removeImage(db, id);
        for (const { digest, sizeBytes } of content.list()) sizes.set(digest, (sizes.get(digest) ?? 0) + sizeBytes);
        return { images, collected: collectRows(this.#stores) };
      },
      { durable: true },
    );
    await sweep(this.#stores, pruned.collected);
    await recover(this.#stores);
    const gone = [...new Set([...pruned.collected.blobs, ...pruned.collected.layers])];
    return {
      untagged: pruned.images.flatMap((image) => [...image.names, ...image.repoDigests]),
      deleted: [...pruned.images.map((image) => image.id), ...pruned.collected.layers],
      reclaimedBytes: gone.reduce((sum, digest) => sum + (sizes.get(digest) ?? 0), 0),
    };
  }

  async check(options: CheckOptions): Promise<Checked> {
    const { check } = await import("./check.ts");
    const { inUse } = this.#options;
    const work = { target: this.#target(), hosts: this.#options, images: () => this.listWhole(), inUse };
    return await check({ ...work, signal: options.signal }, options);
  }

  chainIds(id: Digest): readonly Digest[] {
    return store.listLayers(this.#state.db, id).map((layer) => layer.chainId);
  }

  blobs(id: Digest): readonly Digest[] {
    return store.listBlobs(this.#state.db, id);
  }

  async collect(): Promise<void> {
    const collected = this.#state.transaction(() => collectRows(this.#stores), { durable: true });
    await sweep(this.#stores, collected);
    await recover(this.#stores);
  }

  /** Short names by their aliases. */
  #parse(text: string): Reference {
    return parseName(text, this.#options);
  }

  #toPush(text: string): Reference {
    const ref = this.#parse(text);
    if (ref.digest !== undefined) throw noTag(text);
    return ref;
  }

  /** Every image that has a name in this repository. */
  #allTags(text: string): readonly { readonly ref: Reference; readonly image: Image }[] {
    const repository = repositoryOf(this.#parse(text));
    const names = this.listWhole().flatMap((image) =>
      image.names.map((name) => ({ ref: parseReference(name), image })),
    );
    const found = names.filter(({ ref }) => repositoryOf(ref) === repository);
    if (found.length === 0) throw noSuchImage(text);
    return found;
  }

  #target(): Target {
    const { keelPath, layerLimits = LAYER_LIMITS } = this.#options;
    return { ...this.#stores, keelPath, layerLimits };
  }

  #find(ref: string): Hit | undefined {
    const { db } = this.#state;
    const hex = ref.replace(/^sha(256|512):/, "");
    const isHex = /^[0-9a-f]{4,128}$/.test(hex);
    if (!isHex || (hex === ref && hex.length < 64)) {
      const hit = this.#findByName(ref);
      if (hit !== undefined || !isHex) return hit;
    }
    const [id, other] = store.findIdsByPrefix(db, hex);
    if (other !== undefined) throw ambiguous(ref);
    return id === undefined ? undefined : { by: "id", id };
  }

  #get(ref: string): Hit {
    const hit = this.#find(ref);
    if (hit === undefined) throw noSuchImage(ref);
    return hit;
  }

  /** Index or manifest that was asked for when the image came; undefined: its manifest. */
  #rootOf(hit: Hit): Digest | undefined {
    return hit.by === "name"
      ? store.findRootOfName(this.#state.db, hit.name)
      : hit.by === "digest"
        ? hit.root
        : undefined;
  }

  #findByName(ref: string): Hit | undefined {
    const parsed = this.#parse(ref);
    const repository = repositoryOf(parsed);
    if (parsed.digest !== undefined) {
      const id = store.findIdByDigest(this.#state.db, repository, parsed.digest);
      return id === undefined ? undefined : { by: "digest", id, root: parsed.digest, repository };
    }
    const name = formatReference(parsed);
    const id = store.findIdByName(this.#state.db, name);
    return id === undefined ? undefined : { by: "name", id, name, repository };
  }

  #read(id: Digest, ref: string): Image {
    const row = store.findImage(this.#state.db, id);
    if (row === undefined) throw noSuchImage(ref);
    return this.#toImage(row);
  }

  #toImage(row: store.ImageRow): Image {
    const { db } = this.#state;
    const { id } = row;
    const layers = store.listLayers(db, id).map(({ mediaType, digest, size }) => ({ mediaType, digest, size }));
    return { ...row, names: store.listNames(db, id), repoDigests: store.listRepoDigests(db, id), layers };
  }

  /** Runs in a transaction. */
  #removeRows(ref: string, force: boolean): Removal {
    const { db } = this.#state;
    const hit = this.#find(ref);
    if (hit === undefined) throw noSuchImage(ref);
    const before = [...store.listNames(db, hit.id), ...store.listRepoDigests(db, hit.id)];
    const names = store.listNames(db, hit.id);
    if (hit.by === "id" && names.length > 1 && !force) throw severalNames(ref, names);
    if (hit.by === "name") {
      store.removeName(db, hit.name);
      const sameRepository = (name: string): boolean => name !== hit.name && name.startsWith(`${hit.repository}:`);
      if (!names.some(sameRepository)) store.removeRepoDigests(db, hit.repository, hit.id);
    }
    if (hit.by === "digest") store.removeRepoDigests(db, hit.repository, hit.id);
    const left = [...store.listNames(db, hit.id), ...store.listRepoDigests(db, hit.id)];
    const isLast = hit.by === "id" || left.length === 0;
    if (!isLast)
      return {
        untagged: before.filter((name) => !left.includes(name)),
        deleted: [],
        collected: { blobs: [], layers: [] },
      };
    if (this.#options.mounted?.().has(hit.id)) throw isMounted(ref);
    if (this.#options.running?.().has(hit.id)) throw inUseRunning(ref);
    if (!force && this.#options.inUse().has(hit.id)) throw inUse(ref);
    store.removeImage(db, hit.id);
    const collected = collectRows(this.#stores);
    return { untagged: before, deleted: [hit.id, ...collected.layers], collected };
  }
}

interface Removal {
  readonly untagged: readonly string[];
  readonly deleted: readonly Digest[];
  readonly collected: Collected;
}

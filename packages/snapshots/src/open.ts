import { chownSync, existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { isCode } from "@berth/base";
import { runKeel } from "@berth/linux";
import type { Digest } from "@berth/oci";
import type { State } from "@berth/state";
import { badRoot, layerInUse, noParent, noSnapshot, translate } from "./errors.ts";
import { listDirs, makeDirs, removeTree, syncFileSystem, usageOf } from "./files.ts";
import { type Dirs, invert, mapId, parseChanges, planMount, planView } from "./plan.ts";
import { chooseDriver } from "./probe.ts";
import * as store from "./store.ts";
import type { Change, Choice, IdMap, PrepareOptions, SnapshotMount, Snapshots, Wanted } from "./types.ts";

const DAY_MS = 86_400_000;

export interface SnapshotsOptions {
  /** Opened with this package's `migrations`. */
  readonly state: State;
  /** Absolute path of the data root: `snapshots/<n>/{fs,work}`. */
  readonly root: string;
  readonly keelPath: string;
  /** Default: `auto`. */
  readonly wanted?: Wanted | undefined;
  /** What else chooses the way, instead of a probe. */
  readonly choose?: () => Promise<Choice>;
}

/**
 * Opens the snapshots below `root`. Cheap: nothing is read or made.
 *
 * @throws {BerthError} InvalidArgument if overlayfs cannot express the path
 */
export function openSnapshots(options: SnapshotsOptions): Snapshots {
  if (/[:,\\]/.test(options.root)) throw badRoot(options.root);
  return new LayerSnapshots(options);
}

type CommitOptions = Parameters<Snapshots["commitLayer"]>[0];

class LayerSnapshots implements Snapshots {
  readonly #options: SnapshotsOptions;
  readonly #state: State;
  readonly #root: string;
  #choice: Promise<Choice> | undefined;

  constructor(options: SnapshotsOptions) {
    this.#options = options;
    this.#state = options.state;
    this.#root = join(options.root, "snapshots");
  }

  choice(): Promise<Choice> {
    this.#choice ??= this.#choose();
    return this.#choice;
  }

  has(chainId: Digest): boolean {
    return this.#findLayer(chainId) !== undefined;
  }

  listLayers(): readonly Digest[] {
    return store.listLayerNames(this.#state.db) as readonly Digest[];
  }

  async commitLayer(options: CommitOptions): Promise<void> {
    const { chainId, parent, apply, signal } = options;
    if (this.has(chainId)) return;
    const wait = { timeoutMs: DAY_MS, ...(signal === undefined ? {} : { signal }) };
    using _lease = await this.#state.lease(`layer:${chainId}`, wait);
    if (this.has(chainId)) return;
    const n = this.#begin(chainId, parent);
    try {
      this.#makeDirs(n);
      const chain = store.listChain(this.#state.db, n).slice(1);
      const dir = this.#dir(n);
      await apply({ upper: `${dir}/fs`, work: `${dir}/work`, lowers: chain.map((m) => `${this.#dir(m)}/fs`) });
      await syncFileSystem(dir);
      await options.parentDone?.();
      this.#state.transaction(() => store.commitSnapshot(this.#state.db, n));
    } catch (error) {
      await this.#undo(n);
      throw translate(error, this.#dir(n));
    }
  }

  async prepare(key: string, parent: Digest | undefined, options: PrepareOptions = {}): Promise<void> {
    const { db } = this.#state;
    const stale = store.findSnapshot(db, "writable", key);
    if (stale !== undefined && stale.owner === undefined) return;
    const row = planRow(key, await this.choice(), options);
    const isCopy = row.driver === "native";
    const n = this.#state.transaction(() => {
      if (stale !== undefined) store.removeSnapshot(db, stale.n);
      const owner = isCopy ? this.#state.owner : undefined;
      return store.addSnapshot(db, { ...row, parent: this.#parentOf(parent), owner });
    });
    try {
      await this.#fill(n, row, options);
      if (isCopy) this.#state.transaction(() => store.commitSnapshot(db, n));
    } catch (error) {
      await this.#undo(n);
      throw translate(error, this.#dir(n));
    }
  }

  mount(key: string): SnapshotMount {
    const row = this.#getRow(key);
    const { driver, options, ids } = row;
    const dirs = this.#dirsOf(row.n);
    const isCopied = driver === "native" && dirs.lowers.length > 1;
    if (options.includes("ro")) return planView(driver, isCopied ? [dirs.upper] : dirs.lowers, options.slice(1));
    const mount = planMount(driver, dirs, options);
    return ids === undefined || mount.type !== "overlay" ? mount : { ...mount, idmap: { ...ids, layers: "all" } };
  }

  view(key: string): SnapshotMount {
    const { n, driver, options, ids } = this.#getRow(key);
    const { upper, lowers } = this.#dirsOf(n);
    const mount = planView(driver, [upper, ...lowers], withoutVolatile(options));
    return ids === undefined ? mount : { ...mount, idmap: { ...invert(ids), layers: "top" } };
  }

  viewBelow(key: string): SnapshotMount {
    const { n, driver, options } = this.#getRow(key);
    const { lowers } = this.#dirsOf(n);
    if (driver === "native" || lowers.length === 0) return this.view(key);
    return planView(driver, lowers, withoutVolatile(options));
  }

  listKeys(prefix: string): readonly string[] {
    return store.listKeys(this.#state.db, prefix);
  }

  async diff(chainId: Digest): Promise<readonly Change[]> {
    const row = this.#findLayer(chainId);
    if (row === undefined) throw noSnapshot(chainId);
    const { upper, lowers } = this.#dirsOf(row.n);
    const output = await runKeel(this.#options.keelPath, ["diff", ...layerFlags([upper, ...lowers])]);
    return parseChanges(output.toString());
  }

  async remove(key: string): Promise<void> {
    const row = store.findSnapshot(this.#state.db, "writable", key);
    if (row === undefined) return;
    // the row last: whoever is killed in between finds by it what is left to remove
    await removeTree(this.#dir(row.n));
    this.#state.transaction(() => store.removeSnapshot(this.#state.db, row.n), { durable: true });
  }

  async removeLayer(chainId: Digest): Promise<void> {
    const n = this.#state.transaction(
      () => {
        const row = this.#findLayer(chainId);
        if (row === undefined) return undefined;
        if (store.hasChildren(this.#state.db, row.n)) throw layerInUse(chainId, "another snapshot stands on it");
        if (this.#state.held().has(chainId)) throw layerInUse(chainId, "a running command needs it");
        store.removeSnapshot(this.#state.db, row.n);
        return row.n;
      },
      { durable: true },
    );
    if (n !== undefined) await removeTree(this.#dir(n));
  }

  forgetLayers(chainIds: readonly Digest[]): readonly Digest[] {
    return this.#state.transaction(() => {
      const { db } = this.#state;
      const held = this.#state.held();
      const left = new Set(chainIds.filter((chainId) => !held.has(chainId)));
      const gone: Digest[] = [];
      for (let progress = true; progress; ) {
        progress = false;
        for (const chainId of left) {
          const row = this.#findLayer(chainId);
          if (row !== undefined && store.hasChildren(db, row.n)) continue;
          left.delete(chainId);
          if (row === undefined) continue;
          store.removeSnapshot(db, row.n);
          gone.push(chainId);
          progress = true;
        }
      }
      return gone;
    });
  }

  parentOf(chainId: Digest): Digest | undefined | null {
    const row = this.#findLayer(chainId);
    if (row === undefined) return null;
    return store.listAll(this.#state.db).find((other) => other.n === row.parent)?.name as Digest | undefined;
  }

  verify(): readonly { readonly kind: "layer" | "writable"; readonly name: string; readonly why: string }[] {
    const committed = store.listAll(this.#state.db).filter((row) => row.owner === undefined);
    return committed
      .filter(({ n }) => !existsSync(`${this.#dir(n)}/fs`))
      .map(({ n, kind, name }) => ({ kind, name, why: `${this.#dir(n)}/fs is missing` }));
  }

  dropLayer(chainId: Digest): boolean {
    const drop = (): boolean => {
      const { db } = this.#state;
      const all = store.listAll(db);
      const doomed = all.filter((row) => row.kind === "layer" && row.name === chainId);
      // Parents have lower numbers than what stands on them.
      for (const row of all) if (doomed.some((below) => below.n === row.parent)) doomed.push(row);
      const held = this.#state.held();
      if (doomed.some((row) => row.kind === "writable" || held.has(row.name))) return false;
      for (const { n } of doomed.toReversed()) store.removeSnapshot(db, n);
      return doomed.length > 0;
    };
    return this.#state.transaction(drop, { durable: true });
  }

  async measure(chainId: Digest): Promise<number> {
    const row = this.#findLayer(chainId);
    return row === undefined ? 0 : await usageOf(`${this.#dir(row.n)}/fs`);
  }

  async usage(key: string): Promise<number> {
    return usageOf(`${this.#dir(this.#getRow(key).n)}/fs`);
  }

  async recover(): Promise<void> {
    const { db } = this.#state;
    // Directories first: a row that comes after this list was written belongs to a directory that is not on it.
    const dirs = listDirs(this.#root);
    const dead = store.listUncommitted(db).filter((row) => !this.#state.ownerAlive(row.owner ?? ""));
    if (dead.length > 0) {
      this.#state.transaction(
        () => {
          // What stands on another has the higher number.
          for (const row of dead.toSorted((a, b) => b.n - a.n))
            if (!store.hasChildren(db, row.n)) store.removeSnapshot(db, row.n);
        },
        { durable: true },
      );
    }
    const known = store.listNumbers(db);
    for (const n of dirs) if (!known.has(n)) await removeTree(this.#dir(n));
  }

  #choose(): Promise<Choice> {
    const { choose, state, keelPath, wanted = "auto" } = this.#options;
    if (choose !== undefined) return choose();
    this.#makeRoot();
    const file = join(this.#options.root, "snapshotter.json");
    return chooseDriver({ state, dir: this.#root, file, keelPath, wanted });
  }

  #getRow(key: string): store.Row {
    const row = store.findSnapshot(this.#state.db, "writable", key);
    if (row === undefined) throw noSnapshot(key);
    return row;
  }

  #dirsOf(n: number): Dirs {
    const [, ...below] = store.listChain(this.#state.db, n);
    const dir = this.#dir(n);
    return { upper: `${dir}/fs`, work: `${dir}/work`, lowers: below.map((m) => `${this.#dir(m)}/fs`) };
  }

  /** The directories of a new snapshot, and what the native way copies into them. */
  async #fill(n: number, row: ReturnType<typeof planRow>, options: PrepareOptions): Promise<void> {
    const { ids, volatile, readOnly } = options;
    this.#makeDirs(n);
    const { upper, lowers } = this.#dirsOf(n);
    if (row.driver !== "native" || lowers.length === 0 || (readOnly && lowers.length === 1)) {
      if (ids !== undefined) chownSync(upper, mapId(0, ids.uid) ?? 0, mapId(0, ids.gid) ?? 0);
      return;
    }
    await runKeel(this.#options.keelPath, ["merge", "--target", upper, ...layerFlags(lowers), ...idFlags(ids)]);
    if (!volatile) await syncFileSystem(upper);
  }

  #dir(n: number): string {
    return `${this.#root}/${n}`;
  }

  #makeRoot(): void {
    try {
      // Closed to other users: layers hold set-id files and old libraries (CVE-2021-41091).
      if (!existsSync(this.#root)) mkdirSync(this.#root, { recursive: true, mode: 0o700 });
    } catch (error) {
      throw translate(error, this.#root);
    }
  }

  #makeDirs(n: number): void {
    this.#makeRoot();
    try {
      makeDirs(this.#dir(n));
    } catch (error) {
      throw translate(error, this.#dir(n));
    }
  }

  /** Removes an uncommitted layer: the tree first, since a full disk may refuse to remove the row until there is space. */
  async #undo(n: number): Promise<void> {
    await removeTree(this.#dir(n));
    try {
      this.#state.transaction(() => {
        // Layers that were unpacked on top at the same time go by themselves.
        if (!store.hasChildren(this.#state.db, n)) store.removeSnapshot(this.#state.db, n);
      });
    } catch (error) {
      // An uncommitted row is invisible; the next unpack of this layer, or recover after our end, removes it.
      if (!isCode(error, "ResourceExhausted") && !isCode(error, "Unavailable")) throw error;
    }
  }

  /** The committed layer's row. */
  #findLayer(chainId: Digest): store.Row | undefined {
    const row = store.findSnapshot(this.#state.db, "layer", chainId);
    return row?.owner === undefined ? row : undefined;
  }

  #parentOf(parent: Digest | undefined): number | undefined {
    if (parent === undefined) return undefined;
    const row = this.#findLayer(parent);
    if (row === undefined) throw noParent(parent);
    return row.n;
  }

  /** Writes the uncommitted row; called under the layer's lease, so a row that is there was left by a dead process. */
  #begin(chainId: Digest, parent: Digest | undefined): number {
    return this.#state.transaction(() => {
      const { db, owner } = this.#state;
      const stale = store.findSnapshot(db, "layer", chainId);
      if (stale !== undefined) for (const n of store.listAbove(db, stale.n)) store.removeSnapshot(db, n);
      const row = { kind: "layer", name: chainId, driver: "overlayfs", options: [], ids: undefined } as const;
      return store.addSnapshot(db, { ...row, parent: this.#beginOn(parent), owner });
    });
  }

  /** As #parentOf, or a layer that this process has begun. */
  #beginOn(parent: Digest | undefined): number | undefined {
    const row = parent === undefined ? undefined : store.findSnapshot(this.#state.db, "layer", parent);
    return row?.owner === this.#state.owner ? row.n : this.#parentOf(parent);
  }
}

/** How a new snapshot is shown. Without id-mapped layers their files are copied, with other owners. */
function planRow(name: string, choice: Choice, options: PrepareOptions): Omit<store.NewRow, "parent" | "owner"> {
  const { readOnly, volatile, ids } = options;
  const driver = ids !== undefined && choice.idmap !== "" ? "native" : choice.driver;
  const own = [...(readOnly ? ["ro"] : []), ...choice.options, ...(volatile && !readOnly ? ["volatile"] : [])];
  return { kind: "writable", name, driver, options: driver === "native" ? own.slice(0, readOnly ? 1 : 0) : own, ids };
}

/** A mount that writes nothing has nothing to lose. */
function withoutVolatile(options: readonly string[]): readonly string[] {
  return options.filter((option) => option !== "volatile");
}

function layerFlags(dirs: readonly string[]): readonly string[] {
  return dirs.flatMap((dir) => ["--layer", dir]);
}

function idFlags(ids: IdMap | undefined): readonly string[] {
  const flags = (name: string, ranges: IdMap["uid"]): readonly string[] =>
    ranges.flatMap(({ containerID, hostID, size }) => [name, `${containerID}:${hostID}:${size}`]);
  return ids === undefined ? [] : [...flags("--uid-map", ids.uid), ...flags("--gid-map", ids.gid)];
}

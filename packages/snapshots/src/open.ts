import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { isCode } from "@berth/base";
import type { Digest } from "@berth/oci";
import type { State } from "@berth/state";
import { badRoot, layerInUse, noParent, noSnapshot, translate } from "./errors.ts";
import { listDirs, makeDirs, removeTree, syncFileSystem, usageOf } from "./files.ts";
import { planMount, planView } from "./plan.ts";
import * as store from "./store.ts";
import type { SnapshotMount, Snapshots } from "./types.ts";

const DAY_MS = 86_400_000;

/**
 * Opens the overlayfs snapshots below `root` (the data root: `snapshots/<n>/{fs,work}`). Cheap: nothing is read or made.
 *
 * @param options.state opened with this package's `migrations`
 * @param options.root absolute path
 * @throws {BerthError} InvalidArgument if overlayfs cannot express the path
 */
export function openSnapshots(options: { readonly state: State; readonly root: string }): Snapshots {
  if (/[:,\\]/.test(options.root)) throw badRoot(options.root);
  return new OverlaySnapshots(options.state, join(options.root, "snapshots"));
}

type CommitOptions = Parameters<Snapshots["commitLayer"]>[0];

class OverlaySnapshots implements Snapshots {
  readonly #state: State;
  readonly #root: string;

  constructor(state: State, root: string) {
    this.#state = state;
    this.#root = root;
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
      this.#state.transaction(() => store.commitSnapshot(this.#state.db, n));
    } catch (error) {
      await this.#undo(n);
      throw translate(error, this.#dir(n));
    }
  }

  prepare(key: string, parent: Digest | undefined): SnapshotMount {
    const { n, lowers } = this.#state.transaction(() => {
      const { db } = this.#state;
      const found = store.findSnapshot(db, "writable", key)?.n;
      const added = (): number =>
        store.addSnapshot(db, { kind: "writable", name: key, parent: this.#parentOf(parent), owner: undefined });
      const number = found ?? added();
      return { n: number, lowers: store.listChain(db, number).slice(1) };
    });
    this.#makeDirs(n);
    const dir = this.#dir(n);
    return planMount(
      `${dir}/fs`,
      `${dir}/work`,
      lowers.map((m) => `${this.#dir(m)}/fs`),
    );
  }

  view(key: string): SnapshotMount {
    const row = store.findSnapshot(this.#state.db, "writable", key);
    if (row === undefined) throw noSnapshot(key);
    return planView(store.listChain(this.#state.db, row.n).map((n) => `${this.#dir(n)}/fs`));
  }

  async remove(key: string): Promise<void> {
    const row = store.findSnapshot(this.#state.db, "writable", key);
    if (row === undefined) return;
    this.#state.transaction(() => store.removeSnapshot(this.#state.db, row.n), { durable: true });
    await removeTree(this.#dir(row.n));
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
    const row = store.findSnapshot(this.#state.db, "writable", key);
    if (row === undefined) throw noSnapshot(key);
    return usageOf(`${this.#dir(row.n)}/fs`);
  }

  async recover(): Promise<void> {
    const { db } = this.#state;
    // Directories first: a row that comes after this list was written belongs to a directory that is not on it.
    const dirs = listDirs(this.#root);
    const dead = store.listUncommitted(db).filter((row) => !this.#state.ownerAlive(row.owner ?? ""));
    if (dead.length > 0) {
      this.#state.transaction(
        () => {
          for (const row of dead) if (!store.hasChildren(db, row.n)) store.removeSnapshot(db, row.n);
        },
        { durable: true },
      );
    }
    const known = store.listNumbers(db);
    for (const n of dirs) if (!known.has(n)) await removeTree(this.#dir(n));
  }

  #dir(n: number): string {
    return `${this.#root}/${n}`;
  }

  #makeDirs(n: number): void {
    try {
      // Closed to other users: layers hold set-id files and old libraries (CVE-2021-41091).
      if (!existsSync(this.#root)) mkdirSync(this.#root, { recursive: true, mode: 0o700 });
      makeDirs(this.#dir(n));
    } catch (error) {
      throw translate(error, this.#dir(n));
    }
  }

  /** Removes an uncommitted layer: the tree first, since a full disk may refuse to remove the row until there is space. */
  async #undo(n: number): Promise<void> {
    await removeTree(this.#dir(n));
    try {
      this.#state.transaction(() => store.removeSnapshot(this.#state.db, n));
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
      if (stale !== undefined) store.removeSnapshot(db, stale.n);
      return store.addSnapshot(db, { kind: "layer", name: chainId, parent: this.#parentOf(parent), owner });
    });
  }
}

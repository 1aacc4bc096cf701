import { chownSync, lstatSync, type Stats } from "node:fs";
import { join } from "node:path";
import { BerthError, errnoOf, isCode, newId } from "@berth/base";
import { resolveInRoot } from "@berth/linux";
import type { State } from "@berth/state";
import { badName, inUse, noVolume, translate } from "./errors.ts";
import { copyTree, emptyTrash, isEmpty, listDirs, makeVolume, putAside } from "./files.ts";
import * as store from "./store.ts";
import type { Volume, Volumes } from "./types.ts";

const DAY_MS = 86_400_000;

/**
 * Opens the volumes below `root` (the data root: `volumes/<name>/_data`). Cheap: nothing is read or made.
 *
 * @param options.state opened with this package's `migrations`
 * @param options.root absolute path
 */
export function openVolumes(options: { readonly state: State; readonly root: string }): Volumes {
  return new LocalVolumes(options.state, join(options.root, "volumes"));
}

class LocalVolumes implements Volumes {
  readonly #state: State;
  readonly #root: string;

  constructor(state: State, root: string) {
    this.#state = state;
    this.#root = root;
  }

  ensure(name: string): Volume {
    if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]{1,254}$/.test(name)) throw badName(name);
    return this.find(name) ?? this.#make(name, undefined);
  }

  createAnonymous(containerId: string): Volume {
    return this.#make(newId(), containerId);
  }

  find(name: string): Volume | undefined {
    const row = store.findVolume(this.#state.db, name);
    return row === undefined ? undefined : this.#toVolume(row);
  }

  get(name: string): Volume {
    const volume = this.find(name);
    if (volume === undefined) throw noVolume(name);
    return volume;
  }

  list(): readonly Volume[] {
    return store.listVolumes(this.#state.db).map((row) => this.#toVolume(row));
  }

  listOf(containerId: string): readonly Volume[] {
    return store.listVolumesOf(this.#state.db, containerId).map((row) => this.#toVolume(row));
  }

  async remove(name: string, usersOf: (name: string) => readonly string[]): Promise<void> {
    const removed = this.#state.transaction(
      () => {
        if (store.findVolume(this.#state.db, name) === undefined) return false;
        const users = usersOf(name);
        if (users.length > 0) throw inUse(name, users);
        store.removeVolume(this.#state.db, name);
        return true;
      },
      { durable: true },
    );
    if (removed) await this.#sweep([name]);
  }

  async populate(name: string, rootfs: string, target: string, signal?: AbortSignal): Promise<void> {
    const volume = this.get(name);
    const source = resolveInRoot(rootfs, target);
    if (!isDirectory(source)) return;
    const wait = { timeoutMs: DAY_MS, ...(signal === undefined ? {} : { signal }) };
    try {
      using _lease = await this.#state.lease(`volume:${name}`, wait);
      const row = store.findVolume(this.#state.db, name);
      if (row === undefined) throw noVolume(name);
      // Left by a process that died while it copied; all others see a volume that is empty or the user's.
      if (!row.isPopulating && !isEmpty(volume.path)) return;
      this.#state.transaction(() => store.setPopulating(this.#state.db, name, true), { durable: true });
      await copyTree(name, source, volume.path, signal);
      this.#state.transaction(() => store.setPopulating(this.#state.db, name, false));
    } catch (error) {
      throw signal?.aborted && !isCode(error, "Cancelled") ? cancelled(name, error) : translate(error, volume.path);
    }
  }

  isNew(name: string): boolean {
    const row = store.findVolume(this.#state.db, name);
    if (row === undefined) throw noVolume(name);
    return row.isPopulating || isEmpty(this.#toVolume(row).path);
  }

  noteHostIds(name: string, hostIds: boolean): void {
    const { path, hasHostIds } = this.get(name);
    if (hasHostIds === hostIds || !this.isNew(name)) return;
    this.#state.transaction(() => store.setHostIds(this.#state.db, name, hostIds), { durable: true });
    // A container's root has been given it.
    if (!hostIds) chownSync(path, 0, 0);
  }

  async recover(): Promise<void> {
    await this.#sweep(listDirs(this.#root));
  }

  #make(name: string, containerId: string | undefined): Volume {
    try {
      return this.#state.transaction(
        () => {
          const found = store.findVolume(this.#state.db, name);
          if (found !== undefined) return this.#toVolume(found);
          // In the transaction: recover, in another process, looks for directories without a row in one too.
          makeVolume(this.#root, name, newId());
          return this.#toVolume(store.addVolume(this.#state.db, name, containerId));
        },
        // A power cut must not take the row of a volume whose content is already on disk.
        { durable: true },
      );
    } catch (error) {
      throw translate(error, join(this.#root, name));
    }
  }

  /** Removes those directories that have no row. */
  async #sweep(names: readonly string[]): Promise<void> {
    try {
      const unknown = names.filter((name) => store.findVolume(this.#state.db, name) === undefined);
      if (unknown.length > 0) {
        this.#state.transaction(() => {
          for (const name of unknown) {
            if (store.findVolume(this.#state.db, name) === undefined) putAside(this.#root, name, newId());
          }
        });
      }
      await emptyTrash(this.#root);
    } catch (error) {
      throw translate(error, this.#root);
    }
  }

  #toVolume(row: store.Row): Volume {
    const path = join(this.#root, row.name, "_data");
    const { name, containerId, createdAtMs, hasHostIds } = row;
    return { name, path, containerId, createdAtMs, hasHostIds };
  }
}

function isDirectory(path: string): boolean {
  let stat: Stats;
  try {
    stat = lstatSync(path);
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === "ENOENT" || errno === "ENOTDIR") return false;
    throw translate(error, path);
  }
  return stat.isDirectory();
}

const cancelled = (name: string, cause: unknown): BerthError =>
  new BerthError("Cancelled", `fill volume ${name}: interrupted`, { cause });

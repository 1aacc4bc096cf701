import { closeSync, mkdirSync, openSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { BerthError, errnoOf, pause } from "@berth/base";
import { isBusy, leaseTimeout, newerDatabase, translate } from "./errors.ts";
import { ownerAlive, ownerOf, ownOwner } from "./owner.ts";
import * as store from "./store.ts";
import type { Migration, State } from "./types.ts";

const BUSY_TIMEOUT_MS = 10_000;
const LEASE_TIMEOUT_MS = 60_000;
/**
 * Pages in the log before it is copied back. A process that finds nobody else there reads the whole log at open, and
 * commands end without closing: a short log keeps that below a millisecond.
 */
const CHECKPOINT_PAGES = 256;

/**
 * Opens or creates the database at `path` and brings its schema up to `migrations` (all packages' lists joined; this
 * package's own are added). A process may end without dispose: nothing is lost then.
 *
 * @throws {BerthError} FailedPrecondition if a newer version of Berth made it; PermissionDenied; DataLoss
 */
export function openState(path: string, migrations: readonly Migration[]): State {
  let db: DatabaseSync | undefined;
  try {
    db = connect(path);
    migrate(db, path, [...store.migrations, ...migrations]);
    return new SqliteState(db, path);
  } catch (error) {
    db?.close();
    throw translate(error, path);
  }
}

function connect(path: string): DatabaseSync {
  const options = { timeout: BUSY_TIMEOUT_MS, enableForeignKeyConstraints: true };
  try {
    closeSync(openSync(path, "a", 0o600));
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw fileError(path, error);
    mkdirSync(dirname(path), { recursive: true, mode: 0o711 });
    closeSync(openSync(path, "a", 0o600));
  }
  const db = new DatabaseSync(path, options);
  db.exec(`PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = ${CHECKPOINT_PAGES}`);
  return db;
}

function fileError(path: string, error: unknown): unknown {
  const errno = errnoOf(error);
  if (errno === "EACCES" || errno === "EPERM" || errno === "EROFS") {
    return new BerthError("PermissionDenied", `open database ${path}: ${errno}`, {
      hint: "run as the user who owns the data directory, usually root",
      cause: error,
    });
  }
  if (errno === "ENOSPC" || errno === "EDQUOT") {
    return new BerthError("ResourceExhausted", `create database ${path}: ${errno}`, {
      hint: "free space",
      cause: error,
    });
  }
  return error;
}

/** 31-bit FNV-1a of the migrations' names, never 0: equal to `user_version` when there is nothing to do. */
function fingerprint(migrations: readonly Migration[]): number {
  let hash = 0x811c9dc5;
  for (const name of migrations.map((m) => `${m.package}/${m.id};`).sort()) {
    for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
  }
  return hash & 0x7fffffff || 1;
}

function migrate(db: DatabaseSync, path: string, migrations: readonly Migration[]): void {
  const want = fingerprint(migrations);
  if (store.readUserVersion(db) === want) return;
  enableWal(db);
  db.exec("BEGIN IMMEDIATE");
  try {
    store.createMigrationTable(db);
    const applied = store.listApplied(db);
    const known = new Set(migrations.map((m) => `${m.package}/${m.id}`));
    const unknown = [...applied.difference(known)];
    if (unknown.length > 0) throw newerDatabase(path, unknown);
    for (const m of migrations) if (!applied.has(`${m.package}/${m.id}`)) store.applyMigration(db, m);
    db.exec(`PRAGMA user_version = ${want}`);
    db.exec("COMMIT");
  } catch (error) {
    if (db.isTransaction) db.exec("ROLLBACK");
    throw error;
  }
}

/** The switch to WAL needs the file alone and does not use the busy timeout in every lock state. */
function enableWal(db: DatabaseSync): void {
  const until = Date.now() + BUSY_TIMEOUT_MS;
  for (;;) {
    try {
      db.exec("PRAGMA journal_mode = WAL");
      return;
    } catch (error) {
      if (!isBusy(error) || Date.now() > until) throw error;
      pause(5);
    }
  }
}

class SqliteState implements State {
  readonly db: DatabaseSync;
  readonly #path: string;
  #owner: string | undefined;
  #tokens = 0;
  /** Releases that failed, on a full disk for instance; the next transaction makes up for them. */
  #owed: (() => void)[] = [];

  constructor(db: DatabaseSync, path: string) {
    this.db = db;
    this.#path = path;
  }

  get owner(): string {
    this.#owner ??= ownOwner();
    return this.#owner;
  }

  ownerOf(pid: number): string | undefined {
    return ownerOf(pid);
  }

  ownerAlive(owner: string): boolean {
    return ownerAlive(owner);
  }

  transaction<T>(body: () => T, options: { durable?: boolean } = {}): T {
    if (this.db.isTransaction) return body();
    try {
      if (options.durable) this.db.exec("PRAGMA synchronous = FULL");
      this.db.exec("BEGIN IMMEDIATE");
      const owed = this.#owed;
      for (const release of owed) release();
      const result = body();
      this.db.exec("COMMIT");
      this.#owed = this.#owed.slice(owed.length);
      return result;
    } catch (error) {
      if (this.db.isTransaction) this.db.exec("ROLLBACK");
      throw translate(error, this.#path);
    } finally {
      if (options.durable) this.db.exec("PRAGMA synchronous = NORMAL");
    }
  }

  async lease(name: string, options: { timeoutMs?: number; signal?: AbortSignal } = {}): Promise<Disposable> {
    const timeoutMs = options.timeoutMs ?? LEASE_TIMEOUT_MS;
    const token = this.#newToken();
    const until = performance.now() + timeoutMs;
    for (let waitMs = 2; ; waitMs = Math.min(waitMs * 2, 100)) {
      options.signal?.throwIfAborted();
      const holder = this.transaction(() => {
        const owner = store.findLeaseOwner(this.db, name);
        if (owner !== undefined && ownerAlive(owner)) return owner;
        store.writeLease(this.db, name, this.owner, token);
        return undefined;
      });
      if (holder === undefined) break;
      if (performance.now() > until) throw leaseTimeout(name, holder, timeoutMs);
      await sleep(waitMs, undefined, options.signal === undefined ? {} : { signal: options.signal });
    }
    return this.#disposable(() => store.removeLease(this.db, name, token));
  }

  hold(names: readonly string[]): Disposable {
    const token = this.#newToken();
    this.transaction(() => store.addHolds(this.db, names, token, this.owner));
    return this.#disposable(() => store.removeHolds(this.db, token));
  }

  held(): ReadonlySet<string> {
    return this.transaction(() => {
      for (const owner of store.listHoldOwners(this.db)) if (!ownerAlive(owner)) store.forgetOwner(this.db, owner);
      return new Set(store.listHolds(this.db));
    });
  }

  [Symbol.dispose](): void {
    if (this.db.isOpen) this.db.close();
  }

  #newToken(): string {
    return `${this.owner}:${performance.now()}:${this.#tokens++}`;
  }

  #disposable(undo: () => void): Disposable {
    let done = false;
    return {
      [Symbol.dispose]: () => {
        if (done || !this.db.isOpen) return;
        done = true;
        try {
          this.transaction(undo);
        } catch {
          // Must not hide the error that ends the scope.
          this.#owed = [...this.#owed, undo];
        }
      },
    };
  }
}

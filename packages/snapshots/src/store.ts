import type { DatabaseSync } from "node:sqlite";
import type { Migration } from "@berth/state";
import type { Driver, IdMap } from "./types.ts";

/** Tables of this package. */
export const migrations: readonly Migration[] = [
  {
    package: "snapshots",
    id: 1,
    name: "create snapshot",
    sql: `
      CREATE TABLE snapshot (
        n             INTEGER PRIMARY KEY AUTOINCREMENT,  -- names the directory; never used again
        kind          TEXT NOT NULL CHECK (kind IN ('layer', 'writable')),
        name          TEXT NOT NULL,                      -- chain id or key
        parent        INTEGER REFERENCES snapshot (n),
        owner         TEXT,                               -- process that unpacks it; NULL once committed
        created_at_ms INTEGER NOT NULL,
        UNIQUE (kind, name)
      ) STRICT;
      CREATE INDEX snapshot_parent ON snapshot (parent);`,
  },
  {
    package: "snapshots",
    id: 2,
    name: "snapshot's way to be shown",
    sql: `
      ALTER TABLE snapshot ADD COLUMN driver TEXT NOT NULL DEFAULT 'overlayfs'
        CHECK (driver IN ('overlayfs', 'fuse-overlayfs', 'native'));
      ALTER TABLE snapshot ADD COLUMN options TEXT NOT NULL DEFAULT '';  -- of its mount, with commas between
      ALTER TABLE snapshot ADD COLUMN ids TEXT;                          -- JSON of IdMap; never queried`,
  },
];

export type Kind = "layer" | "writable";

export interface Row {
  readonly n: number;
  readonly parent: number | undefined;
  /** Undefined once committed. */
  readonly owner: string | undefined;
  readonly driver: Driver;
  readonly options: readonly string[];
  readonly ids: IdMap | undefined;
}

const COLUMNS = "n, parent, owner, driver, options, ids";

function toRow(row: Readonly<Record<string, unknown>>): Row {
  const { n, parent, owner, driver, options, ids } = row;
  return {
    n: Number(n),
    parent: parent === null ? undefined : Number(parent),
    owner: owner === null ? undefined : String(owner),
    driver: driver as Driver,
    options: String(options).split(",").filter(Boolean),
    ids: ids === null ? undefined : (JSON.parse(String(ids)) as IdMap),
  };
}

export function findSnapshot(db: DatabaseSync, kind: Kind, name: string): Row | undefined {
  const row = db.prepare(`SELECT ${COLUMNS} FROM snapshot WHERE kind = ? AND name = ?`).get(kind, name);
  return row === undefined ? undefined : toRow(row);
}

/** Numbers from `n` down to the first layer, `n` included. */
export function listChain(db: DatabaseSync, n: number): readonly number[] {
  const rows = db
    .prepare(
      `WITH RECURSIVE chain (n, parent, depth) AS (
         SELECT n, parent, 0 FROM snapshot WHERE n = ?
         UNION ALL
         SELECT s.n, s.parent, depth + 1 FROM chain JOIN snapshot s ON s.n = chain.parent
       ) SELECT n FROM chain ORDER BY depth`,
    )
    .all(n);
  return rows.map((row) => Number(row["n"]));
}

/** Numbers of all that stands on `n`, top first, `n` last. */
export function listAbove(db: DatabaseSync, n: number): readonly number[] {
  const rows = db
    .prepare(
      `WITH RECURSIVE above (n) AS (
         SELECT ? UNION ALL SELECT s.n FROM above JOIN snapshot s ON s.parent = above.n
       ) SELECT n FROM above ORDER BY n DESC`,
    )
    .all(n);
  return rows.map((row) => Number(row["n"]));
}

export function hasChildren(db: DatabaseSync, n: number): boolean {
  return db.prepare("SELECT 1 FROM snapshot WHERE parent = ? LIMIT 1").get(n) !== undefined;
}

export function listAll(db: DatabaseSync): readonly (Row & { readonly kind: Kind; readonly name: string })[] {
  const rows = db.prepare(`SELECT ${COLUMNS}, kind, name FROM snapshot ORDER BY n`).all();
  return rows.map((row) => ({ ...toRow(row), kind: row["kind"] as Kind, name: String(row["name"]) }));
}

export interface NewRow extends Omit<Row, "n"> {
  readonly kind: Kind;
  readonly name: string;
}

/** Returns the number of the new snapshot. */
export function addSnapshot(db: DatabaseSync, row: NewRow): number {
  const result = db
    .prepare(
      `INSERT INTO snapshot (kind, name, parent, owner, driver, options, ids, created_at_ms)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
    )
    .run(
      row.kind,
      row.name,
      row.parent ?? null,
      row.owner ?? null,
      row.driver,
      row.options.join(","),
      row.ids === undefined ? null : JSON.stringify(row.ids),
      Date.now(),
    );
  return Number(result.lastInsertRowid);
}

export function commitSnapshot(db: DatabaseSync, n: number): void {
  db.prepare("UPDATE snapshot SET owner = NULL WHERE n = ?").run(n);
}

export function removeSnapshot(db: DatabaseSync, n: number): void {
  db.prepare("DELETE FROM snapshot WHERE n = ?").run(n);
}

export function listNumbers(db: DatabaseSync): ReadonlySet<number> {
  const rows = db.prepare("SELECT n FROM snapshot").all();
  return new Set(rows.map((row) => Number(row["n"])));
}

export function listUncommitted(db: DatabaseSync): readonly Row[] {
  return db.prepare(`SELECT ${COLUMNS} FROM snapshot WHERE owner IS NOT NULL`).all().map(toRow);
}

export function listLayerNames(db: DatabaseSync): readonly string[] {
  const rows = db.prepare("SELECT name FROM snapshot WHERE kind = 'layer' AND owner IS NULL ORDER BY n").all();
  return rows.map((row) => String(row["name"]));
}

/** Names of writable snapshots that begin so. */
export function listKeys(db: DatabaseSync, prefix: string): readonly string[] {
  const rows = db.prepare("SELECT name FROM snapshot WHERE kind = 'writable' AND substr(name, 1, ?) = ? ORDER BY n");
  return rows.all(prefix.length, prefix).map((row) => String(row["name"]));
}
